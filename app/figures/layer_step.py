"""One metric over layers and steps as a heatmap: when something starts, and at which depth.

The cell is the largest value of its bucket of steps, so a spike of one step survives. Colours span the 1st to 99th
percentile, so that one outlier does not flatten the rest. NaN and Inf get a colour of their own and are counted.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, layer_step, sampled_steps

from ..text import plotly as safe
from ..theme import NONFINITE, Theme
from ..view import View
from .axes import horizontal, is_log, joined
from .blank import blank_figure
from .depth_profile import value_title
from .frames import batch_note, described, followed_phase
from .record import Figure

__all__ = ["LAYER_STEP", "Heat", "layer_step_figure", "layer_step_info"]


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
    marked_x: float | None = None
    """Where the reader stands in time, in units of `x`."""
    marked_layers: tuple[int, ...] = ()
    note: str = ""

    @property
    def empty(self) -> bool:
        """No cell at all."""
        return not self.values


def layer_step_query(store: Store, view: View) -> pd.DataFrame:
    """Columns step, layer, low, high, last, x, phase, run, metric, title, unit, site: the focus run of the view."""
    run = view.focus
    frame = followed_phase(
        view.phase,
        lambda phase: _placed(
            store, view, layer_step(store, run, view.metric, view.site, phase, stack=view.stack), phase
        ),
    )
    return described(frame, view.metric, store.metrics()).assign(site=view.site, run=run)


def _placed(store: Store, view: View, frame: pd.DataFrame, phase: str) -> pd.DataFrame:
    """The frame with `x`: tokens or wall time of the sampled step at or before each bucket's step."""
    if view.x == "step" or frame.empty:
        return frame.assign(x=frame["step"])
    clock = sampled_steps(store, [view.focus], phase)[["step", view.x]].dropna().astype({"step": "int64"})
    frame = frame.astype({"step": "int64"}).sort_values("step")
    return pd.merge_asof(frame, clock.sort_values("step").rename(columns={view.x: "x"}), on="step").dropna(subset="x")


def layer_step_info(frame: pd.DataFrame, view: View) -> Heat:
    """Cells, colour range and what is outside it."""
    if frame.empty:
        return Heat()
    axis = horizontal(view.x, float(frame["x"].max()))
    table = _pivot(frame)
    present = _pivot(frame.assign(high=1.0)).notna()
    cells = table.to_numpy(dtype=np.float64)
    finite = cells[np.isfinite(cells)]
    log = is_log(view.scale, [finite])
    low, high = _colour_range(finite[finite > 0] if log else finite)
    nonfinite = int((present.to_numpy() & ~np.isfinite(cells)).sum())
    hidden = int((finite <= 0).sum()) if log else 0
    outside = int(((finite < low) | (finite > high)).sum()) - hidden
    return Heat(
        x=tuple(float(v) / axis.divisor for v in table.columns),
        layers=tuple(int(n) for n in table.index),
        values=tuple(
            tuple(v if there else None for v, there in zip(row, mask, strict=True))
            for row, mask in zip(cells.tolist(), present.to_numpy().tolist(), strict=True)
        ),
        x_title=axis.title,
        value_title=value_title(frame),
        log=log,
        low=low,
        high=high,
        nonfinite=nonfinite,
        marked_x=_marked(frame, view.step, axis.divisor),
        marked_layers=view.layers,
        note=joined(batch_note(frame), _note(nonfinite, outside, hidden)),
    )


def _pivot(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.pivot_table(index="layer", columns="x", values="high", aggfunc="last", dropna=False).sort_index()


def _colour_range(values: np.ndarray) -> tuple[float, float]:
    """1st and 99th percentile; widened where they coincide, so that a constant has a colour too."""
    if not len(values):
        return 0.0, 1.0
    low = float(np.percentile(values, 1, method="lower"))
    high = float(np.percentile(values, 99, method="higher"))
    return (low, high) if high > low else (low - abs(low) * 0.5, high + abs(high) * 0.5 or 1.0)


def _marked(frame: pd.DataFrame, step: int | None, divisor: float) -> float | None:
    before = frame[frame["step"] <= step] if step is not None else frame.iloc[:0]
    return None if before.empty else float(before["x"].max()) / divisor


def _note(nonfinite: int, outside: int, hidden: int) -> str:
    told = []
    if nonfinite:
        told.append(f"{nonfinite:,} {_cells(nonfinite)} NaN or Inf (red).")
    if outside:
        told.append(f"{outside:,} {_cells(outside)} beyond the colour range (1st to 99th percentile).")
    if hidden:
        told.append(f"{hidden:,} {_cells(hidden)} at or below zero, which a log scale leaves blank.")
    return joined(*told)


def _cells(count: int) -> str:
    return "cell is" if count == 1 else "cells are"


def layer_step_figure(info: Heat, theme: Theme) -> go.Figure:
    """Heatmap with the deepest layer on top, as the network is drawn."""
    if info.empty:
        return blank_figure("This run has no values of this metric here yet.", theme)
    cells = np.array([[np.nan if v is None else v for v in row] for row in info.values], dtype=np.float64)
    figure = go.Figure(_heatmap(info, cells))
    if info.nonfinite:
        figure.add_trace(_broken(info))
    figure.update_layout(
        template=theme.template,
        height=460,
        margin={"t": 12},
        xaxis={"title": {"text": safe(info.x_title, 80)}, "showgrid": False},
        yaxis={"title": {"text": "Layer"}, "tickformat": "d", "showgrid": False},
        shapes=_marks(info, theme),
    )
    return figure


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


def layer_step_table(info: Heat) -> pd.DataFrame:
    """One row a cell that was measured; Heat is the largest value of the cell."""
    rows = [
        (x, layer, value)
        for layer, row in zip(info.layers, info.values, strict=True)
        for x, value in zip(info.x, row, strict=True)
        if value is not None
    ]
    return pd.DataFrame(rows, columns=[info.x_title or "x", "Layer", info.value_title or "value"])


def layer_step_alt(info: Heat) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return "Layer by step heatmap: nothing to show yet."
    bad = f", {info.nonfinite} cells NaN or Inf" if info.nonfinite else ""
    size = f"{len(info.layers)} layers by {len(info.x)} steps"
    return f"Heatmap of {info.value_title}, {size}, {info.low:.3g} to {info.high:.3g}{bad}."


LAYER_STEP = Figure(
    name="layer_step",
    title="Layer × step",
    caption="Look for a layer that lights up before the others and for the step where the whole depth changes colour; "
    "each cell is the largest value of its bucket of steps.",
    reads=("runs", "run", "metric", "site", "stack", "phase", "x"),
    query=layer_step_query,
    info=layer_step_info,
    draw=layer_step_figure,
    table=layer_step_table,
    alt=layer_step_alt,
    one_run=True,
)
