"""Where global pruning takes its weights from: the share of each matrix of each block of one run that goes."""

import pandas as pd

from depthscope.store import Store

from ..view import View
from .frames import numbers
from .grids import Grid, Grids, grids_alt, grids_figure, grids_table
from .held_out import newest
from .record import Figure

__all__ = ["PRUNED_SHARES", "levels", "pruned_shares_info"]

USUAL = 50
"""Percent; the level shown before one is chosen."""


def pruned_shares_query(store: Store, view: View) -> pd.DataFrame:
    """Pruned shares of the focus run's matrices, at its newest evaluation up to the view's step."""
    frame = store.sparsity_layers(runs=[view.focus], steps=(0, view.step))
    return newest(frame[(frame["stack"] == view.stack) & frame["pruned_share"].notna() & frame["layer"].notna()])


def levels(frame: pd.DataFrame) -> tuple[int, ...]:
    """Percent of all weights that were pruned together, ascending."""
    return tuple(sorted({round(100 * threshold) for threshold in numbers(frame["threshold"])}))


def pruned_shares_info(frame: pd.DataFrame, view: View) -> Grids:
    """One picture: the level of the view, or the one nearest to it that was measured."""
    found = levels(frame)
    if not found:
        return Grids()
    wanted = USUAL if view.level is None else view.level
    level = min(found, key=lambda n: abs(n - wanted))
    rows = frame[(100 * frame["threshold"]).round() == level]
    layers = tuple(sorted({int(n) for n in rows["layer"]}))
    names = tuple(dict.fromkeys(str(name) for name in rows["matrix"]))
    columns = zip(rows["matrix"], numbers(rows["layer"]), numbers(rows["pruned_share"]), strict=True)
    cells = {(str(matrix), int(layer)): share for matrix, layer, share in columns}
    values = tuple(tuple(cells.get((name, layer)) for layer in layers) for name in names)
    grid = Grid(f"Share pruned, at {level} % of all weights", layers, names, values)
    return Grids((grid,), "Layer", "Matrix", f"Ranked together by magnitude, at step {int(rows['step'].max()):,}.")


PRUNED_SHARES = Figure(
    name="pruned_shares",
    title="Where the weights go",
    caption="Look for matrices and depths that give up far more than their share: a norm that follows makes their "
    "scale free, so a global ranking may prefer them for their scale alone.",
    reads=("runs", "run", "stack", "step"),
    query=pruned_shares_query,
    info=pruned_shares_info,
    draw=lambda info, theme: grids_figure(info, theme, "No pruned shares were measured up to this step."),
    table=grids_table,
    alt=lambda info: grids_alt(info, "Pruned share of each matrix"),
    one_run=True,
)
