"""Lines: the record that most figures share, and how it is drawn.

SVG only: WebGL contexts are few per page, and slower below 50 traces. Arrays travel as base64: float32 values, float64
positions (tokens pass 2^24). NaN and Inf are drawn as triangles along the top edge instead of silently left out.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from ..text import plotly as safe
from ..theme import NONFINITE, Style, Theme, tint
from .axes import axis_range, is_log, joined, missing_note, value_axis
from .blank import blank_figure
from .crowd import add_context, bright_strategies, crowd_note, in_front
from .end_labels import label_ends
from .line import Line
from .marks import Mark, add_marks, marks_note

__all__ = [
    "Line",
    "Lines",
    "add_lines",
    "add_nonfinite",
    "lines_alt",
    "lines_axis",
    "lines_figure",
    "lines_info",
    "lines_table",
]


@dataclass(frozen=True)
class Lines:
    """Lines on common axes."""

    lines: tuple[Line, ...] = ()
    x_title: str = ""
    y_title: str = ""
    log: bool = False
    about: str = ""
    """What was measured, as a sentence."""
    outside: str = ""
    """What the axes leave out, as sentences."""
    y_range: tuple[float, float] | None = None
    """Ends of the value axis where some values would squeeze the others; None: all of them fit."""
    marks: tuple[Mark, ...] = ()
    """Phases and resumes of the runs."""
    divisor: float = 1.0
    """What positions are divided by, where they count training: 3600 where seconds are drawn as hours."""
    bright: tuple[str, ...] = ()
    """Strategies in colour, the others are grey; empty: all of them."""

    @property
    def front(self) -> tuple[Line, ...]:
        """The lines in colour."""
        return in_front(self.lines, self.bright)[0]

    @property
    def back(self) -> tuple[Line, ...]:
        """The lines in grey, behind the others."""
        return in_front(self.lines, self.bright)[1]

    @property
    def crowd(self) -> str:
        """How many strategies are grey, as a sentence; '' where none is."""
        return crowd_note((line.strategy for line in self.lines), self.bright)

    @property
    def note(self) -> str:
        """What a careful reader must know."""
        return joined(self.about, self.outside, self.crowd, marks_note(self.marks))

    @property
    def empty(self) -> bool:
        """No line at all."""
        return not self.lines


def lines_info(
    lines: Sequence[Line],
    x_title: str,
    y_title: str,
    scale: str,
    about: str = "",
    first: float | None = None,
    bright: Collection[str] = (),
) -> Lines:
    """Lines with the choices of a log axis and of colours made, and told what the axes leave out.

    `bright`: the strategies that shall be in colour where there are too many. Values before position `first` (the
    embedding, tiny beside the blocks) and lines in grey have no say in the scale or the range.
    """
    colours = bright_strategies((line.strategy for line in lines), bright)
    front = in_front(lines, colours)[0]
    core = [[y for x, y in zip(line.x, line.y, strict=True) if first is None or x >= first] for line in front]
    log = is_log(scale, core)
    y_range = axis_range(core, [line.y for line in lines], log)
    nonfinite = sum(sum(line.counts) for line in lines)
    hidden = sum(1 for line in lines for y in line.y if log and y <= 0)
    early = "" if y_range is None else _beyond(x_title, first, bool(colours))
    outside = joined(early, missing_note(nonfinite, hidden))
    return Lines(tuple(lines), x_title, y_title, log, about, outside, y_range, bright=colours)


def _beyond(x_title: str, first: float | None, grey: bool) -> str:
    """What lies outside an axis that was cut."""
    early = [] if first is None else [f"values before {x_title.lower()} {_whole(first)}"]
    what = " and ".join([*early, *(["some in grey"] if grey else [])])
    return f"{what[:1].upper()}{what[1:]} lie outside the axis."


def _whole(x: float) -> str:
    """A position without a fraction that no step has."""
    return f"{math.ceil(x):,}" if x >= 10 else f"{x:g}"


def lines_figure(info: Lines, styles: Mapping[str, Style], theme: Theme, *, markers: bool, nothing: str) -> go.Figure:
    """The lines, one trace each, above their bands; `nothing` is the sentence of an empty figure."""
    if info.empty:
        return blank_figure(nothing, theme)
    figure = go.Figure()
    add_context(figure, info.back)
    add_lines(figure, info.front, styles, markers=markers)
    add_nonfinite(figure, info.lines)
    add_marks(figure, info.marks)
    figure.update_layout(
        template=theme.template,
        hovermode="x unified",
        xaxis={"title": {"text": safe(info.x_title, 80)}},
        yaxis={"title": {"text": safe(info.y_title, 80)}, **lines_axis(info)},
        showlegend=True,
    )
    if info.back:
        label_ends(figure, info.lines, info.y_range, info.log, info.bright, theme)
    return figure


def lines_axis(info: Lines) -> dict[str, object]:
    """Plotly's settings of the value axis."""
    axis = value_axis([info.y_range] if info.y_range else [line.y for line in info.lines], info.log, info.y_range)
    return {**axis, "autorange": info.y_range is None}


def add_lines(
    figure: go.Figure,
    lines: Sequence[Line],
    styles: Mapping[str, Style],
    *,
    markers: bool,
    legend: bool = True,
    axis: int = 1,
) -> None:
    """Add the bands, then the lines, to subplot number `axis`; lines of one label share a legend entry."""
    place = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"} if axis > 1 else {}
    for line in lines:
        if line.low and line.low != line.high:
            figure.add_trace(_band(line, styles[line.label], place))
    for line in lines:
        style = styles[line.label]
        figure.add_trace(
            go.Scatter(
                x=np.asarray(line.x, dtype=np.float64),
                y=_finite(line.y),
                name=safe(line.label),
                legendgroup=safe(line.label, 200),
                showlegend=legend,
                mode="lines+markers" if markers else "lines",
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.marker, "size": 6},
                hovertemplate="%{y:.4g}",
                **place,
            )
        )


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    # A value beyond float32 would arrive in the browser as Inf and vanish: such a trace keeps float64.
    finite = array[np.isfinite(array)]
    return array if len(finite) and np.abs(finite).max() > np.finfo(np.float32).max else array.astype(np.float32)


def _band(line: Line, style: Style, place: Mapping[str, str]) -> go.Scatter:
    low, high = np.asarray(line.low, dtype=np.float64), np.asarray(line.high, dtype=np.float64)
    keep = np.isfinite(low) & np.isfinite(high)
    x = np.asarray(line.x, dtype=np.float64)[keep]
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=_finite(np.concatenate([high[keep], low[keep][::-1]])),
        fill="toself",
        fillcolor=tint(style.colour, 0.2),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=safe(line.label, 200),
        name="min to max",
        **place,
    )


def add_nonfinite(figure: go.Figure, lines: Sequence[Line], *, legend: bool = True, axis: int = 1) -> None:
    """Triangles along the top edge of subplot `axis`, on a y axis of their own that runs from 0 to 1."""
    x = np.asarray([x for line in lines for x in line.nonfinite], dtype=np.float64)
    if not len(x):
        return
    number = "" if axis == 1 else str(axis)
    counts = [n for line in lines for n in line.counts if n]
    edge = 90 + axis
    figure.add_trace(
        go.Scatter(
            x=x,
            y=np.full(len(x), 0.985, dtype=np.float32),
            xaxis=f"x{number}",
            yaxis=f"y{edge}",
            mode="markers",
            name="NaN or Inf",
            legendgroup="NaN or Inf",
            showlegend=legend,
            marker={"symbol": "triangle-up", "size": 9, "color": NONFINITE},
            customdata=np.asarray(counts, dtype=np.int32),
            hovertemplate="NaN or Inf: %{customdata:,}",
        )
    )
    side = {"overlaying": f"y{number}", "anchor": f"x{number}", "range": [0, 1], "visible": False, "fixedrange": True}
    figure.update_layout({f"yaxis{edge}": side})


def lines_table(info: Lines, label: str) -> pd.DataFrame:
    """The numbers of the picture, one row a point; `label` names the first column."""
    columns = [label, "strategy", info.x_title or "x", info.y_title or "value", "bucket minimum", "bucket maximum"]
    rows = [
        (line.label, line.strategy, x, y, low, high)
        for line in info.lines
        for x, y, low, high in zip(line.x, line.y, line.low or line.y, line.high or line.y, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return frame if any(line.low for line in info.lines) else frame[columns[:4]]


def lines_alt(info: Lines, what: str) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return f"{what}: nothing to show yet."
    scale = " on a log axis" if info.log else ""
    count = f"{len(info.lines)} {'line' if len(info.lines) == 1 else 'lines'}"
    return f"{what}: {info.y_title}{scale} against {info.x_title}, {count}."
