"""Total gradient norm of each run over training, with the smallest and largest value of every bucket kept as a band."""

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, series

from ..theme import Theme, run_styles
from ..view import View
from .lines import Lines, lines_alt, lines_figure, lines_table
from .loss import series_info
from .record import Figure

__all__ = ["GRAD_NORM"]


def grad_norm_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, strategy, step, x, low, high, last, nonfinite; x counts what the view asks for."""
    return series(store, view.runs, "grad_norm", x=view.x)


def grad_norm_figure(info: Lines, theme: Theme) -> go.Figure:
    """SVG lines over min-to-max bands."""
    styles = run_styles([(line.label, line.strategy) for line in info.lines])
    return lines_figure(info, styles, theme, markers=False, nothing="No gradient norm was measured yet.")


GRAD_NORM = Figure(
    name="grad_norm",
    title="Gradient norm",
    caption="Look for spikes before those of the loss; it is measured at sampled steps, and wherever the training "
    "clips by norm.",
    reads=("runs", "x"),
    query=grad_norm_query,
    info=lambda frame, view: series_info(frame, view, "Gradient norm (loss/weight)"),
    draw=grad_norm_figure,
    table=lambda info: lines_table(info, "run"),
    alt=lambda info: lines_alt(info, "Gradient norm of each run"),
)
