"""Heatmaps side by side whose axes count blocks, spans or matrices: the record, and how it is drawn.

A value within its noise is grey, never coloured; on a logarithmic colour scale a value at or below zero has a colour of
its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..text import plotly as safe
from ..theme import Theme, tint
from .blank import blank_figure

__all__ = ["Grid", "Grids", "grids_alt", "grids_figure", "grids_table"]

FALLING = "#CC79A7"


@dataclass(frozen=True)
class Grid:
    """One picture. `values[i][j]` belongs to `y[i]` and `x[j]`; None: not measured."""

    title: str
    x: tuple[int, ...]
    y: tuple[int, ...] | tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    noise: tuple[tuple[bool, ...], ...] = ()
    """Where the value lies within its noise; empty: values carry none."""
    log: bool = False
    marked: tuple[tuple[int, int], ...] = ()
    """(x, y) of cells with a dot."""

    @property
    def cells(self) -> np.ndarray:
        """The values, NaN where nothing was measured."""
        return np.array([[np.nan if v is None else v for v in row] for row in self.values], dtype=np.float64)


@dataclass(frozen=True)
class Grids:
    """Pictures with the same axes."""

    grids: tuple[Grid, ...] = ()
    x_title: str = ""
    y_title: str = ""
    note: str = ""

    @property
    def empty(self) -> bool:
        """Nothing to draw."""
        return not self.grids


def grids_figure(info: Grids, theme: Theme, nothing: str) -> go.Figure:
    """Heatmaps in a row, each with its own colour bar; `nothing` is the sentence of an empty figure."""
    if info.empty:
        return blank_figure(nothing, theme)
    titles = [safe(grid.title, 60) for grid in info.grids]
    named = isinstance(info.grids[0].y[0], str)
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.2 if named else 0.16)
    for column, grid in enumerate(info.grids, start=1):
        right = figure.get_subplot(1, column).xaxis.domain[1]
        for trace in (_coloured(grid, info, right), *_flats(grid, info, theme), *_dots(grid)):
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(
            title_text=safe(info.x_title, 80), range=_ends(grid.x), showgrid=False, tickformat="d", col=column
        )
        figure.update_yaxes(showgrid=False, col=column, **_y_axis(grid))
    figure.update_yaxes(title_text=safe(info.y_title, 80), col=1)
    figure.update_annotations(font={"size": 13, "color": theme.text})
    figure.update_layout(template=theme.template, height=420, margin={"t": 40}, showlegend=False)
    return figure


def _y_axis(grid: Grid) -> dict[str, object]:
    if isinstance(grid.y[0], str):
        return {"type": "category", "autorange": "reversed"}  # in the order of a forward, downwards
    return {"range": _ends([int(n) for n in grid.y]), "tickformat": "d"}


def _ends(values: Sequence[int]) -> list[float]:
    return [values[0] - 0.5, values[-1] + 0.5]


def _y(grid: Grid) -> list[object]:
    return [safe(y, 28) if isinstance(y, str) else y for y in grid.y]


def _coloured(grid: Grid, info: Grids, right: float) -> go.Heatmap:
    shown = np.where(np.asarray(grid.noise), np.nan, grid.cells) if grid.noise else grid.cells
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log10(np.where(shown > 0, shown, np.nan)) if grid.log else shown
    bar: dict[str, object] = {"thickness": 12, "outlinewidth": 0, "x": right + 0.01, "xanchor": "left"}
    if grid.log and np.isfinite(z).any():
        decades = np.arange(np.floor(np.nanmin(z)), np.ceil(np.nanmax(z)) + 1)
        bar |= {"tickvals": decades, "ticktext": [f"{10.0**d:g}" for d in decades]}
    return go.Heatmap(
        x=np.asarray(grid.x),
        y=_y(grid),
        z=np.where(np.isfinite(z), z, np.nan).astype(np.float32),
        customdata=grid.cells.astype(np.float32) if grid.log else None,
        colorscale="Viridis",
        hoverongaps=False,
        colorbar=bar,
        name="",
        hovertemplate=_hover(info) if grid.log else _hover(info).replace("customdata", "z"),
    )


def _hover(info: Grids) -> str:
    x, y = (safe(title.lower(), 80) for title in (info.x_title, info.y_title))
    return f"{x} %{{x}}, {y} %{{y}}<br><b>%{{customdata:.4g}}</b>"


def _flats(grid: Grid, info: Grids, theme: Theme) -> list[go.Heatmap]:
    cells = grid.cells
    noise = np.asarray(grid.noise) if grid.noise else np.zeros(cells.shape, dtype=bool)
    kinds = [(noise, tint(theme.muted, 0.35), ", within two standard errors")]
    if grid.log:
        kinds.append((~noise & (cells <= 0), tint(FALLING, 0.8), ", not above zero"))
    place = _hover(info).partition("<br>")[0]
    return [_flat(grid, mask, colour, place + words) for mask, colour, words in kinds if mask.any()]


def _flat(grid: Grid, mask: np.ndarray, colour: str, hover: str) -> go.Heatmap:
    return go.Heatmap(
        x=np.asarray(grid.x),
        y=_y(grid),
        z=np.where(mask, 1.0, np.nan).astype(np.float32),
        colorscale=[[0, colour], [1, colour]],
        showscale=False,
        hoverongaps=False,
        name="",
        hovertemplate=hover,
    )


def _dots(grid: Grid) -> list[go.Scatter]:
    if not grid.marked:
        return []
    marks = {"symbol": "circle", "size": 6, "color": "#ffffff", "line": {"color": "#1f2430", "width": 1}}
    x, y = zip(*grid.marked, strict=True)
    return [go.Scatter(x=x, y=y, mode="markers", marker=marks, name="smallest of its row", hoverinfo="skip")]


def grids_table(info: Grids) -> pd.DataFrame:
    """One row a cell that was measured."""
    rows = [
        (grid.title, y, x, value, bool(grid.noise) and grid.noise[i][j])
        for grid in info.grids
        for i, (y, row) in enumerate(zip(grid.y, grid.values, strict=True))
        for j, (x, value) in enumerate(zip(grid.x, row, strict=True))
        if value is not None
    ]
    frame = pd.DataFrame(rows, columns=["Quantity", info.y_title or "y", info.x_title or "x", "Value", "Within 2 SE"])
    return frame if any(grid.noise for grid in info.grids) else frame.drop(columns="Within 2 SE")


def grids_alt(info: Grids, what: str) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return f"{what}: nothing to show yet."
    parts = [f"{grid.title}, {len(grid.x)} by {len(grid.y)} cells" for grid in info.grids]
    return f"{what}, heatmaps: {'; '.join(parts)}."
