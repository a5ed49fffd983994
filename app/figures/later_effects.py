"""Which later blocks build on which earlier ones, in one run: how much their contribution changes without it.

0: block m adds the same whatever block l did. The second picture leaves block l out in the first half of every sequence
only and looks at the other half (arXiv 2505.13898).
"""

import pandas as pd

from depthscope.store import Store

from ..view import View
from .frames import numbers
from .grids import Grid, Grids, grids_alt, grids_figure, grids_table
from .held_out import newest
from .record import Figure

__all__ = ["LATER_EFFECTS", "later_effects_info"]

MEASURES = {"later_effect": "On later blocks", "later_effect_future": "On later blocks, at later tokens"}


def later_effects_query(store: Store, view: View) -> pd.DataFrame:
    """Rows of `Store.layer_effects` about pairs of blocks of the focus run, newest evaluation up to the view's step."""
    frame = store.layer_effects(runs=[view.focus], measure=list(MEASURES), steps=(0, view.step))
    pairs = frame[(frame["stack"] == view.stack) & frame["layer"].notna() & frame["later_layer"].notna()]
    return newest(pairs, "measure")


def later_effects_info(frame: pd.DataFrame, view: View) -> Grids:
    """A picture a measure that has values."""
    parts = [(title, frame[frame["measure"] == name]) for name, title in MEASURES.items()]
    grids = tuple(_grid(title, rows) for title, rows in parts if len(rows))
    note = f"At step {int(frame['step'].max()):,}." if len(frame) else ""
    return Grids(grids, "Block left out", "Later block", note)


def _grid(title: str, rows: pd.DataFrame) -> Grid:
    columns = [numbers(rows[name]) for name in ("layer", "later_layer", "value")]
    cells = {(int(layer), int(later)): value for layer, later, value in zip(*columns, strict=True)}
    x, y = (tuple(sorted({pair[n] for pair in cells})) for n in (0, 1))
    values = tuple(tuple(cells.get((layer, later)) for layer in x) for later in y)
    return Grid(f"{title} (change over contribution)", x, y, values)


LATER_EFFECTS = Figure(
    name="later_effects",
    title="Which blocks build on which",
    caption="Look for dark rows in the deep half: blocks that add the same whatever came before do not build on it.",
    reads=("runs", "run", "stack", "step"),
    query=later_effects_query,
    info=later_effects_info,
    draw=lambda info, theme: grids_figure(info, theme, "No effects on later blocks were measured up to this step."),
    table=grids_table,
    alt=lambda info: grids_alt(info, "Effect of leaving out a block on later ones"),
    one_run=True,
)
