"""Total gradient norm of each run over training, with the smallest and largest value of every bucket kept as a band."""

import pandas as pd

from depthscope.store import Store, series

from ..view import View
from .lines import lines_alt, lines_table
from .loss import series_figure, series_info
from .record import Figure

__all__ = ["GRAD_NORM"]


def grad_norm_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, strategy, step, x, low, high, last, nonfinite; x counts what the view asks for."""
    return series(store, view.runs, "grad_norm", x=view.x, within=view.stretch)


GRAD_NORM = Figure(
    name="grad_norm",
    title="Gradient norm",
    caption="Look for spikes before those of the loss; it is measured at sampled steps, and wherever the training "
    "clips by norm.",
    reads=("runs", "x", "zoom"),
    query=grad_norm_query,
    info=lambda frame, view: series_info(frame, view, "Gradient norm (loss/weight)"),
    draw=lambda info, theme: series_figure(info, theme, "No gradient norm was measured yet."),
    table=lambda info: lines_table(info, "run"),
    alt=lambda info: lines_alt(info, "Gradient norm of each run"),
)
