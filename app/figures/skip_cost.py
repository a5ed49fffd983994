"""Which layers do work, run by run: the held-out loss without each block, against depth."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..text import plotly as safe
from ..theme import Theme, run_styles
from ..view import View
from .axes import joined, layer_axis
from .frames import numbers, rows_of, strategy_of
from .held_out import ERRORS, bars_note, interventions, is_signal, when
from .layer_cost import DELTA, FIRST
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = ["SKIP_COST", "skip_cost_figure", "skip_cost_info"]


def skip_cost_query(store: Store, view: View) -> pd.DataFrame:
    """Interventions that skip one block, of every run at its newest evaluation up to the view's step."""
    frame = interventions(store, view, view.runs, "skip")
    return frame[(frame["span"] == 1) & (frame["site"] == "block")]


def skip_cost_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a run, in the view's order; `low` and `high` are two standard errors away."""
    lines = [_line(run, rows) for run, rows in rows_of(frame, view.runs)]
    pairs = list(zip(numbers(frame["delta"]), numbers(frame["delta_se"]), strict=True)) if len(frame) else []
    about = joined(when(frame), bars_note(pairs).replace("drawn hollow", "drawn as a hollow marker"))
    scale = "linear" if view.scale == "auto" else view.scale
    return lines_info(lines, "Layer", DELTA, scale, about, FIRST, view.bright)


def _line(run: str, rows: pd.DataFrame) -> Line:
    rows = rows.dropna(subset=["layer"]).sort_values("layer")
    delta = rows["delta"].to_numpy(dtype=np.float64)
    wide = ERRORS * rows["delta_se"].fillna(0.0).to_numpy(dtype=np.float64)
    # An unknown error is no error of zero: such a point is drawn hollow.
    known = rows["delta_se"].notna().to_numpy()
    low, high = np.where(known, delta - wide, -np.inf), np.where(known, delta + wide, np.inf)
    return Line(
        run,
        strategy_of(rows),
        numbers(rows["layer"]),
        tuple(delta.tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
    )


def signals(line: Line) -> list[bool]:
    """Whether each point exceeds its noise, from the ends of its bar."""
    return [is_signal(y, (high - y) / ERRORS) for y, high in zip(line.y, line.high, strict=True)]


def skip_cost_figure(info: Lines, theme: Theme) -> go.Figure:
    """Lines with error bars; the marker of a point within its noise is hollow."""
    styles = run_styles([(line.label, line.strategy) for line in info.lines])
    nothing = "No held-out measurements of these runs up to this step."
    figure = lines_figure(info, styles, theme, markers=True, nothing=nothing)
    if info.empty:
        return figure
    figure.data = [trace for trace in figure.data if trace.name != "min to max"]
    for line, trace in zip(info.front, [t for t in figure.data if t.mode == "lines+markers"], strict=True):
        marker = styles[line.label].marker
        wide = np.asarray(line.high) - np.asarray(line.y)
        trace.update(
            marker={"symbol": [marker if signal else f"{marker}-open" for signal in signals(line)], "size": 8},
            line={"width": 1.2},
            error_y={"type": "data", "array": np.where(np.isfinite(wide), wide, 0.0), "thickness": 1, "width": 2},
            hovertemplate="%{y:+.4g}",
            name=safe(line.label),
        )
    deepest = max(line.x[-1] for line in info.lines)
    figure.update_xaxes(**layer_axis(deepest), unifiedhovertitle={"text": "without block %{x}"})
    figure.update_yaxes(zeroline=not info.log, zerolinecolor=theme.muted, zerolinewidth=1)
    return figure


def skip_cost_table(info: Lines) -> pd.DataFrame:
    """One row a run and layer, with the standard error."""
    frame = lines_table(info, "run")
    if "bucket maximum" not in frame:
        return frame
    error = (frame.pop("bucket maximum") - frame[info.y_title]) / ERRORS
    return frame.drop(columns="bucket minimum").assign(**{"Standard error": error.where(np.isfinite(error))})


SKIP_COST = Figure(
    name="skip_cost",
    title="Loss without each block",
    caption="Look for runs whose deep blocks stay at zero while the early ones cost something: depth that is there and "
    "does no work.",
    reads=("runs", "stack", "step"),
    query=skip_cost_query,
    info=skip_cost_info,
    draw=skip_cost_figure,
    table=skip_cost_table,
    alt=lambda info: lines_alt(info, "Held-out loss without each block"),
)
