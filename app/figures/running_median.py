"""A strong line through noisy values, which stay behind it: their running median does not lag or start biased."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..text import plotly as safe
from ..theme import Style, tint
from .lines import Line

__all__ = ["FEWEST", "add_running_medians", "running_median"]

FEWEST = 100
"""Points from which on a line is drawn with its median: a shorter one can be read as it is."""
SHARE = 50
"""The window is one SHARE-th of the points."""


def running_median(values: Sequence[float]) -> np.ndarray:
    """Median of the window around each value, NaN and Inf left out; at the ends the window is cut."""
    window = len(values) // SHARE // 2 * 2 + 3
    finite = pd.Series(values, dtype="float64").replace([np.inf, -np.inf], np.nan)
    return finite.rolling(window, center=True, min_periods=1).median().to_numpy()


def add_running_medians(figure: go.Figure, lines: Sequence[Line], styles: Mapping[str, Style]) -> None:
    """Turn the trace of each long line into its median and put a pale one of the values under it.

    Hovering still tells the value itself, with the median behind it.
    """
    long = {safe(line.label, 200): line for line in lines if len(line.y) >= FEWEST}
    pale = []
    for trace in figure.data:
        line = long.get(trace.legendgroup) if trace.fill is None else None
        if line is None:
            continue
        colour = {"color": tint(styles[line.label].colour, 0.3), "width": 1}
        pale.append(go.Scatter(trace).update(line=colour, showlegend=False, hoverinfo="skip", hovertemplate=None))
        trace.update(
            y=running_median(line.y).astype(trace.y.dtype),
            customdata=trace.y,
            hovertemplate="%{customdata:.4g} (median %{y:.4g})",
        )
    figure.add_traces(pale)
    # In the order of drawing: bands and pale values below, medians above.
    under = figure.data[len(figure.data) - len(pale) :]
    over = figure.data[: len(figure.data) - len(pale)]
    bands = sum(trace.fill is not None for trace in over)
    figure.data = (*over[:bands], *under, *over[bands:])
