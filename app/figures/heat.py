"""A heatmap over layers and steps: the record, and how it is drawn.

Colours may be logarithmic: the cells then carry log10 and the hover text and the colour bar the true values.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..text import plotly as safe
from ..theme import NONFINITE, Theme
from .axes import layer_axis
from .blank import blank_figure

__all__ = ["Heat", "heat_alt", "heat_figure", "heat_table"]

FEW = 0.08
"""Share of the axis that a cell is wide where each can have a label."""


@dataclass(frozen=True)
class Heat:
    """A layer x step picture. `values[i][j]` belongs to `layers[i]` at `x[j]`; None is "not measured"."""

    x: tuple[float, ...] = ()
    layers: tuple[int, ...] = ()
    values: tuple[tuple[float | None, ...], ...] = ()
    x_title: str = ""
    value_title: str = ""
    log: bool = False
    low: float = 0.0
    """Value at the bottom of the colour range."""
    high: float = 1.0
    nonfinite: int = 0
    steps: tuple[int, ...] = ()
    """The optimizer step of each `x`."""
    marked_x: float | None = None
    """Where the reader stands in time, in units of `x`."""
    marked_layers: tuple[int, ...] = ()
    note: str = ""
    divisor: float = 1.0
    """What positions on x are divided by: 3600 where seconds are drawn as hours."""

    @property
    def empty(self) -> bool:
        """No cell at all."""
        return not self.values


def heat_figure(info: Heat, theme: Theme) -> go.Figure:
    """Heatmap with the deepest layer on top, as the network is drawn."""
    if info.empty:
        return blank_figure("This run has no values of this metric here yet.", theme)
    cells = np.array([[np.nan if v is None else v for v in row] for row in info.values], dtype=np.float64)
    figure = go.Figure(_heatmap(info, cells))
    if info.nonfinite:
        figure.add_trace(_broken(info))
        figure.add_trace(_edge(info))
    figure.update_layout(
        template=theme.template,
        height=460,
        margin={"t": 12},
        xaxis={"title": {"text": safe(info.x_title, 80)}, "showgrid": False, "range": _edges(info.x), **_ticks(info.x)},
        yaxis={
            "title": {"text": "Layer"},
            "showgrid": False,
            "range": [info.layers[0] - 0.5, info.layers[-1] + 0.5],
            **layer_axis(info.layers[-1]),
        },
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        showlegend=False,
        shapes=_marks(info, theme),
    )
    return figure


def _ticks(x: tuple[float, ...]) -> dict[str, object]:
    """Wide cells are marked where they were measured; beside the first is no negative step."""
    apart = min((right - left for left, right in pairwise(x)), default=0.0)
    return {"tickvals": x} if apart > FEW * (x[-1] - x[0]) else {}


def _edges(x: tuple[float, ...]) -> list[float]:
    """The outer edges of the cells: Plotly would leave room for the markers that lie on them."""
    first, last = (x[1] - x[0], x[-1] - x[-2]) if len(x) > 1 else (1.0, 1.0)
    return [x[0] - first / 2, x[-1] + last / 2]


def _heatmap(info: Heat, cells: np.ndarray) -> go.Heatmap:
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log10(np.where(cells > 0, cells, np.nan)) if info.log else cells
    ends = (np.log10(info.low), np.log10(info.high)) if info.log else (info.low, info.high)
    return go.Heatmap(
        x=np.asarray(info.x, dtype=np.float64),
        y=np.asarray(info.layers, dtype=np.int32),
        z=np.where(np.isfinite(z), z, np.nan).astype(np.float32),
        customdata=cells.astype(np.float32) if info.log else None,
        zmin=ends[0],
        zmax=ends[1],
        colorscale="Viridis",
        hoverongaps=False,
        name="",
        hovertemplate="layer %{y}, %{x:,}<br><b>%{" + ("customdata" if info.log else "z") + ":.4g}</b>",
        colorbar=_colourbar(info),
    )


def _colourbar(info: Heat) -> dict[str, object]:
    bar: dict[str, object] = {
        "title": {"text": safe(info.value_title, 80), "side": "right", "font": {"size": 13}},
        "thickness": 14,
        "tickfont": {"size": 11},
        "outlinewidth": 0,
        "len": 1,
    }
    if info.log:
        ticks = _log_ticks(info.low, info.high)
        bar |= {"tickvals": [float(np.log10(t)) for t in ticks], "ticktext": [f"{t:.3g}" for t in ticks]}
    return bar


def _log_ticks(low: float, high: float) -> list[float]:
    """Ticks a reader expects on a log scale: decades, or 1-2-5 where there are few decades."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1.0,) if len(decades) > 5 else (1.0, 2.0, 5.0)
    every = max(1, round(len(decades) / 8)) if len(steps) == 1 else 1
    ticks = [float(s * 10.0**d) for d in decades[::every] for s in steps if low <= s * 10.0**d <= high]
    return ticks or [low, high]


def _broken(info: Heat) -> go.Heatmap:
    mask = [[None if v is None or np.isfinite(v) else 1.0 for v in row] for row in info.values]
    return go.Heatmap(
        x=np.asarray(info.x, dtype=np.float64),
        y=np.asarray(info.layers, dtype=np.int32),
        z=np.array(mask, dtype=np.float32),
        colorscale=[[0, NONFINITE], [1, NONFINITE]],
        showscale=False,
        hoverongaps=False,
        name="",
        hovertemplate="layer %{y}, %{x:,}<br><b>NaN or Inf</b>",
    )


def _edge(info: Heat) -> go.Scatter:
    """A triangle at the top where a stretch of NaN or Inf begins: one thin cell among hundreds is easily missed."""
    bad = [any(v is not None and not np.isfinite(v) for v in column) for column in zip(*info.values, strict=True)]
    starts = [x for x, now, before in zip(info.x, bad, [False, *bad], strict=False) if now and not before]
    return go.Scatter(
        x=np.asarray(starts, dtype=np.float64),
        y=np.full(len(starts), 0.985, dtype=np.float32),
        yaxis="y2",
        mode="markers",
        marker={"symbol": "triangle-down", "size": 10, "color": NONFINITE, "line": {"color": "#ffffff", "width": 1}},
        name="",
        hovertemplate="NaN or Inf from %{x:,}",
    )


def _marks(info: Heat, theme: Theme) -> list[dict[str, object]]:
    """The chosen step as a vertical line, the chosen layers as ticks at both ends of their row."""
    line = {"color": theme.text, "width": 1.5, "dash": "dot"}
    marks: list[dict[str, object]] = []
    if info.marked_x is not None:
        marks.append(
            {"type": "line", "x0": info.marked_x, "x1": info.marked_x, "yref": "paper", "y0": 0, "y1": 1, "line": line}
        )
    for layer in info.marked_layers:
        marks.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": layer, "y1": layer, "line": line})
    return marks


def heat_table(info: Heat) -> pd.DataFrame:
    """One row a cell that was measured; Heat is the largest value of the cell."""
    rows = [
        (x, layer, value)
        for layer, row in zip(info.layers, info.values, strict=True)
        for x, value in zip(info.x, row, strict=True)
        if value is not None
    ]
    return pd.DataFrame(rows, columns=[info.x_title or "x", "Layer", info.value_title or "value"])


def heat_alt(info: Heat) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return "Layer by step heatmap: nothing to show yet."
    bad = f", {info.nonfinite} cells NaN or Inf" if info.nonfinite else ""
    size = f"{len(info.layers)} layers by {len(info.x)} steps"
    return f"Heatmap of {info.value_title}, {size}, {info.low:.3g} to {info.high:.3g}{bad}."
