"""Each block's share of the work, its effect on the output, and how far its derivative is from the identity."""

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..theme import Theme
from ..view import View
from .frames import numbers, rows_of, strategy_of
from .held_out import named, newest
from .lines import Line, Lines, lines_info
from .panels import Panels, panels_alt, panels_figure, panels_table
from .record import Figure

__all__ = ["LAYER_MEASURES", "layer_measures_info"]

SHOWN = (
    (("effectiveness_share_without_1",), "Share of the work, block 1 left out"),
    (("output_effect",), "Change of the output without the block"),
    (("jacobian_identity", "jacobian_identity_differences"), "Jacobian's distance from identity"),
)
"""Measures of one quantity, and its title."""


def layer_measures_query(store: Store, view: View) -> pd.DataFrame:
    """Rows of `Store.layer_effects` about single blocks, at each run's newest evaluation up to the view's step."""
    wanted = [name for names, _ in SHOWN for name in names]
    frame = store.layer_effects(runs=list(view.runs), measure=wanted, steps=(0, view.step))
    single = frame[(frame["stack"] == view.stack) & frame["layer"].notna() & frame["later_layer"].isna()]
    return named(store, newest(single, "measure"))


def layer_measures_info(frame: pd.DataFrame, view: View) -> Panels:
    """A panel a quantity that has values."""
    panels = [_panel(frame[frame["measure"].isin(names)], title, view) for names, title in SHOWN]
    steps = sorted({int(step) for step in frame["step"]})
    ends = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}" if steps else ""
    about = f"Measured on held-out batches at step{'s' if len(steps) > 1 else ''} {ends}." if steps else ""
    return Panels(tuple(panel for panel in panels if not panel.empty), about)


def _panel(frame: pd.DataFrame, title: str, view: View) -> Lines:
    lines = [_line(run, rows.sort_values("layer")) for run, rows in rows_of(frame, view.runs)]
    return lines_info(lines, "Layer", title, view.scale, first=2, bright=view.bright)


def _line(run: str, rows: pd.DataFrame) -> Line:
    return Line(run, strategy_of(rows), numbers(rows["layer"]), numbers(rows["value"]))


def layer_measures_figure(info: Panels, theme: Theme) -> go.Figure:
    """Panels in a row."""
    return panels_figure(info, theme, "No effects of single blocks were measured up to this step.")


LAYER_MEASURES = Figure(
    name="layer_measures",
    title="Share, effect and derivative of each block",
    caption="Look for depths where all three fall: such blocks do little, change little, and pass gradients on as they "
    "are.",
    reads=("runs", "stack", "step"),
    query=layer_measures_query,
    info=layer_measures_info,
    draw=layer_measures_figure,
    table=panels_table,
    alt=lambda info: panels_alt(info, "Effects of single blocks"),
)
