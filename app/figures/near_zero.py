"""Weights near zero over training, at several thresholds: a sudden rise is what "abrupt sparsification" means.

No optimizer but a pruner makes a weight exactly zero, and the paper (arXiv 2306.03805) gives no threshold.
"""

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..theme import DASHES, MARKERS, OTHERS, Style, Theme
from ..view import View
from .axes import horizontal
from .clock import on_axis
from .frames import numbers
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = ["NEAR_ZERO", "near_zero_info", "threshold_words"]

ABSOLUTE = (1e-5, 1e-4, 1e-3, 1e-2)
"""Absolute thresholds; the one that is none of these is relative to the weights the run began with."""


def near_zero_query(store: Store, view: View) -> pd.DataFrame:
    """Near-zero fractions of a whole stack of the focus run: columns step, threshold, near_zero, x."""
    frame = store.sparsity_layers(runs=[view.focus])
    frame = frame[(frame["stack"] == view.stack) & frame["layer"].isna() & frame["near_zero"].notna()]
    return on_axis(store, view, frame)


def threshold_words(threshold: float) -> str:
    """'|w| < 0.001', or what a threshold is relative to."""
    absolute = any(abs(threshold - known) <= 1e-9 * known for known in ABSOLUTE)
    return f"|w| < {threshold:g}" if absolute else "|w| < 1 % of the initial RMS"


def near_zero_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a threshold, the smallest first."""
    axis = horizontal(view.x, float(frame["x"].max()) if len(frame) else 0.0)
    lines = [_line(words, rows, axis.divisor) for words, rows in _by_threshold(frame)]
    return lines_info(lines, axis.title, "Weights near zero (%)", view.scale, "All matrices of the blocks together.")


def _by_threshold(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    words = [threshold_words(value) for value in numbers(frame["threshold"])]
    frame = frame.assign(words=words).sort_values("threshold")
    return [(name, frame[frame["words"] == name]) for name in dict.fromkeys(frame["words"])]


def _line(words: str, rows: pd.DataFrame, divisor: float) -> Line:
    rows = rows.sort_values("x")
    x, y = numbers(rows["x"]), numbers(rows["near_zero"])
    return Line(words, "", tuple(v / divisor for v in x), tuple(100 * v for v in y))


def near_zero_figure(info: Lines, theme: Theme) -> go.Figure:
    """A colour, a dash and a marker a threshold."""
    styles = {
        line.label: Style(OTHERS[n % len(OTHERS)], DASHES[n % len(DASHES)], MARKERS[n % len(MARKERS)])
        for n, line in enumerate(info.lines)
    }
    return lines_figure(info, styles, theme, markers=True, nothing="Weights near zero were not counted yet.")


NEAR_ZERO = Figure(
    name="near_zero",
    title="Weights near zero",
    caption="Look for one interval in which many weights become small at once; a slow drift is weight decay.",
    reads=("runs", "run", "stack", "x"),
    query=near_zero_query,
    info=near_zero_info,
    draw=near_zero_figure,
    table=lambda info: lines_table(info, "threshold").drop(columns="strategy"),
    alt=lambda info: lines_alt(info, "Weights near zero over training"),
    one_run=True,
)
