"""Spans of neighbouring blocks of one run, start x length: what skipping them costs, and how far they turn the stream.

The angle between a span's input and its output is cheap and a poor stand-in for the loss (arXiv 2403.17887; caveat:
arXiv 2605.14075): the two pictures stand side by side. Differences within two standard errors are grey, not coloured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from depthscope.store import Store

from ..theme import Theme, tint
from ..view import View
from .axes import is_log, joined
from .blank import blank_figure
from .frames import numbers
from .held_out import interventions, is_signal, newest, when
from .record import Figure

__all__ = ["SPANS", "Grid", "Spans", "spans_figure", "spans_info"]

LOSS, ANGLE = "Change of held-out loss (nats/token)", "Angular distance (1 = 180°)"


@dataclass(frozen=True)
class Grid:
    """One picture. `values[i][j]` belongs to length `lengths[i]` and first block `starts[j]`; None: not measured."""

    title: str
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]
    noise: tuple[tuple[bool, ...], ...] = ()
    """Where the value lies within its noise; empty: values carry none."""
    log: bool = False

    @property
    def best(self) -> tuple[tuple[int, int], ...]:
        """(start, length) of the smallest value of each length with a choice."""
        found = []
        for length, row in zip(self.lengths, self.values, strict=True):
            present = [(value, start) for value, start in zip(row, self.starts, strict=True) if value is not None]
            finite = [pair for pair in present if np.isfinite(pair[0])]
            if len(finite) > 1:
                found.append((min(finite)[1], length))
        return tuple(found)


@dataclass(frozen=True)
class Spans:
    """The pictures that have values."""

    grids: tuple[Grid, ...] = ()
    note: str = ""

    @property
    def empty(self) -> bool:
        """No span was measured."""
        return not self.grids


def spans_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, step, layer, span, kind ('loss' or 'angle'), value, error, tokens, of the focus run."""
    skipped = interventions(store, view, [view.focus], "skip")
    skipped = skipped[skipped["site"] == "block"].rename(columns={"delta": "value", "delta_se": "error"})
    turned = store.distances(runs=[view.focus], steps=(0, view.step))
    turned = newest(turned[turned["stack"] == view.stack]).rename(columns={"angular_distance": "value"})
    columns = ["run", "step", "layer", "span", "kind", "value", "error", "tokens"]
    parts = [part.assign(kind=kind).reindex(columns=columns) for part, kind in ((skipped, "loss"), (turned, "angle"))]
    return pd.concat([part.astype({"value": "float64", "error": "float64"}) for part in parts], ignore_index=True)


def spans_info(frame: pd.DataFrame, view: View) -> Spans:
    """The grids with spans of more than one block; a single row of blocks is the figure of each layer."""
    frame = frame.dropna(subset=["layer"])
    parts = [(LOSS, frame[frame["kind"] == "loss"]), (ANGLE, frame[frame["kind"] == "angle"])]
    grids = [_grid(title, rows, view.scale) for title, rows in parts if (rows["span"] > 1).any()]
    noise = sum(map(sum, (row for grid in grids for row in grid.noise)))
    told = f"{noise:,} grey {'cell is' if noise == 1 else 'cells are'} within two standard errors." if noise else ""
    return Spans(tuple(grids), joined(when(frame[frame["kind"] == "loss"]), told))


def _grid(title: str, rows: pd.DataFrame, scale: str) -> Grid:
    starts = tuple(range(int(rows["layer"].min()), int(rows["layer"].max()) + 1))
    lengths = tuple(range(1, int(rows["span"].max()) + 1))
    columns = [numbers(rows[name]) for name in ("span", "layer", "value", "error")]
    cells = {(int(n), int(s)): (value, error) for n, s, value, error in zip(*columns, strict=True)}
    values = tuple(tuple(cells[n, s][0] if (n, s) in cells else None for s in starts) for n in lengths)
    loss = title == LOSS
    noise = tuple(tuple((n, s) in cells and not is_signal(*cells[n, s]) for s in starts) for n in lengths)
    shown = [v for (v, e) in cells.values() if v > 0 and (not loss or is_signal(v, e))]
    log = loss and scale != "linear" and (scale == "log" or is_log("auto", [shown]))
    return Grid(title, starts, lengths, values, noise if loss else (), log)


def spans_figure(info: Spans, theme: Theme) -> go.Figure:
    """Heatmaps side by side; a dot marks the cheapest span of each length."""
    if info.empty:
        return blank_figure("No spans of blocks were measured up to this step.", theme)
    count = len(info.grids)
    titles = [grid.title for grid in info.grids]
    figure = make_subplots(rows=1, cols=count, subplot_titles=titles, horizontal_spacing=0.16)
    for column, grid in enumerate(info.grids, start=1):
        place = figure.get_subplot(1, column).xaxis.domain[1]
        for trace in (_cells(grid, place), *_noise(grid, theme), _best(grid, theme)):
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(
            title_text="First block of the span", range=_ends(grid.starts), showgrid=False, tickformat="d", col=column
        )
        figure.update_yaxes(range=_ends(grid.lengths), showgrid=False, tickformat="d", col=column)
    figure.update_yaxes(title_text="Length (blocks)", col=1)
    figure.update_annotations(font={"size": 13, "color": theme.text})
    figure.update_layout(template=theme.template, height=420, margin={"t": 40}, showlegend=False)
    return figure


def _ends(values: Sequence[int]) -> list[float]:
    return [values[0] - 0.5, values[-1] + 0.5]


def _array(grid: Grid) -> np.ndarray:
    return np.array([[np.nan if v is None else v for v in row] for row in grid.values], dtype=np.float64)


def _cells(grid: Grid, right: float) -> go.Heatmap:
    cells = _array(grid)
    shown = np.where(np.asarray(grid.noise), np.nan, cells) if grid.noise else cells
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log10(np.where(shown > 0, shown, np.nan)) if grid.log else shown
    bar: dict[str, object] = {"thickness": 12, "outlinewidth": 0, "x": right + 0.01, "xanchor": "left"}
    if grid.log and np.isfinite(z).any():
        decades = np.arange(np.floor(np.nanmin(z)), np.ceil(np.nanmax(z)) + 1)
        bar |= {"tickvals": decades, "ticktext": [f"{10.0**d:g}" for d in decades]}
    return go.Heatmap(
        x=np.asarray(grid.starts),
        y=np.asarray(grid.lengths),
        z=np.where(np.isfinite(z), z, np.nan).astype(np.float32),
        customdata=cells,
        colorscale="Viridis",
        hoverongaps=False,
        colorbar=bar,
        name="",
        hovertemplate="blocks from %{x}, %{y} of them<br><b>%{customdata:.4g}</b>",
    )


def _noise(grid: Grid, theme: Theme) -> list[go.Heatmap]:
    """Cells within their noise in grey; those beyond it that lower the loss in a colour of their own."""
    cells = _array(grid)
    noise = np.asarray(grid.noise) if grid.noise else np.zeros(cells.shape, dtype=bool)
    layers = [(noise, theme.muted, 0.35, "within two standard errors")]
    if grid.log:
        layers.append((~noise & (cells <= 0), "#CC79A7", 0.8, "the loss falls"))
    return [_flat(grid, mask, tint(colour, alpha), words) for mask, colour, alpha, words in layers if mask.any()]


def _flat(grid: Grid, mask: np.ndarray, colour: str, words: str) -> go.Heatmap:
    return go.Heatmap(
        x=np.asarray(grid.starts),
        y=np.asarray(grid.lengths),
        z=np.where(mask, 1.0, np.nan).astype(np.float32),
        customdata=_array(grid),
        colorscale=[[0, colour], [1, colour]],
        showscale=False,
        hoverongaps=False,
        name="",
        hovertemplate="blocks from %{x}, %{y} of them<br><b>%{customdata:.4g}</b>, " + words,
    )


def _best(grid: Grid, theme: Theme) -> go.Scatter:
    return go.Scatter(
        x=[start for start, _ in grid.best],
        y=[length for _, length in grid.best],
        mode="markers",
        marker={"symbol": "circle", "size": 6, "color": "#ffffff", "line": {"color": "#1f2430", "width": 1}},
        name="smallest of its length",
        hoverinfo="skip",
    )


def spans_table(info: Spans) -> pd.DataFrame:
    """One row a span."""
    rows = [
        (grid.title, start, length, value, bool(grid.noise) and grid.noise[i][j])
        for grid in info.grids
        for i, (length, row) in enumerate(zip(grid.lengths, grid.values, strict=True))
        for j, (start, value) in enumerate(zip(grid.starts, row, strict=True))
        if value is not None
    ]
    return pd.DataFrame(rows, columns=["Quantity", "First block", "Length", "Value", "Within 2 SE"])


def spans_alt(info: Spans) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return "Spans of blocks: nothing to show yet."
    parts = [f"{grid.title}, {len(grid.starts)} starts by {len(grid.lengths)} lengths" for grid in info.grids]
    return f"Heatmaps of spans of blocks: {'; '.join(parts)}."


SPANS = Figure(
    name="spans",
    title="Spans of blocks",
    caption="Look for a dark region: neighbouring blocks that can be left out together. The white dot is the cheapest "
    "span of its length.",
    reads=("runs", "run", "stack", "step"),
    query=spans_query,
    info=spans_info,
    draw=spans_figure,
    table=spans_table,
    alt=spans_alt,
    one_run=True,
)
