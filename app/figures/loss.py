"""Training loss of each run, with the smallest and largest value of every bucket kept as a band."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, series

from ..theme import Theme, run_styles
from ..view import View
from .axes import horizontal
from .frames import numbers, rows_of, strategy_of
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .marks import marks_of, with_marks
from .record import Figure
from .running_median import FEWEST, add_running_medians, running_median

__all__ = ["LOSS", "loss_figure", "loss_info", "series_figure", "series_info"]


def loss_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, strategy, step, x, low, high, last, nonfinite, mark; x counts what the view asks for."""
    return with_marks(store, view, series(store, view.runs, "loss", x=view.x, within=view.stretch))


def loss_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a run, in the view's order, without runs that logged no loss."""
    return series_info(frame, view, "Training loss (nats/token)")


def series_info(frame: pd.DataFrame, view: View, title: str) -> Lines:
    """One line a run of a frame of `series`, in the view's order; `title` names the value axis."""
    axis = horizontal(view.x, float(frame["x"].max()) if len(frame) else 0.0)
    lines = [_line(run, rows, axis.divisor) for run, rows in rows_of(frame, view.runs)]
    info = lines_info(lines, axis.title, title, view.scale, first=_settled(lines, view), bright=view.bright)
    return replace(info, marks=marks_of(frame, axis.divisor), divisor=axis.divisor)


def _settled(lines: Sequence[Line], view: View) -> float | None:
    """From where on values set the axis: after a tenth of the training, or the first fall would flatten the rest."""
    places = [x for line in lines for x in (line.x[0], line.x[-1])]
    if view.zoom or not places or max(len(line.x) for line in lines) < FEWEST:
        return None
    return min(places) + (max(places) - min(places)) / 10


def _line(run: str, rows: pd.DataFrame, divisor: float) -> Line:
    rows = rows.sort_values("x")
    x, y, low, high, broken = (numbers(rows[name]) for name in ("x", "last", "low", "high", "nonfinite"))
    return Line(run, strategy_of(rows), tuple(v / divisor for v in x), y, low, high, broken)


def loss_figure(info: Lines, theme: Theme) -> go.Figure:
    """`series_figure` of losses."""
    return series_figure(info, theme, "No loss was logged: call probe.log(loss=loss).")


def series_figure(info: Lines, theme: Theme, nothing: str) -> go.Figure:
    """SVG lines over their values and min-to-max bands; `nothing` is the sentence of an empty figure."""
    styles = run_styles([(line.label, line.strategy) for line in info.lines])
    figure = lines_figure(_calmed(info), styles, theme, markers=False, nothing=nothing)
    add_running_medians(figure, info.front, styles)
    return figure


def _calmed(info: Lines) -> Lines:
    """The lines in grey as running medians: behind the others their noise would be one grey cloud."""
    back = {line.label for line in info.back}
    lines = (replace(line, y=tuple(running_median(line.y))) if line.label in back else line for line in info.lines)
    return replace(info, lines=tuple(lines))


LOSS = Figure(
    name="loss",
    title="Loss",
    caption="Look for spikes and for curves that part. Pale: every value and the range of each bucket of steps, so no "
    "spike is lost; strong: the running median over a fiftieth of them, where there are many.",
    reads=("runs", "x", "zoom"),
    query=loss_query,
    info=loss_info,
    draw=loss_figure,
    table=lambda info: lines_table(info, "run"),
    alt=lambda info: lines_alt(info, "Loss of each run"),
)
