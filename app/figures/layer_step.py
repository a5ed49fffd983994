"""One metric over layers and steps as a heatmap: when something starts, and at which depth.

The cell is the largest value of its bucket of steps, so a spike of one step survives. Colours span the 1st to 99th
percentile of the blocks, so that neither an outlier nor a tiny embedding flattens the rest. NaN and Inf get a colour
of their own and are counted.
"""

import numpy as np
import pandas as pd

from depthscope.store import Store, layer_step

from ..view import View
from .axes import horizontal, is_log, joined
from .clock import placed, sampled_clock, steps_around
from .depth_profile import value_title
from .frames import batch, described, followed_phase, measured
from .heat import Heat, heat_alt, heat_figure, heat_table
from .record import Figure

__all__ = ["LAYER_STEP", "layer_step_info"]


def layer_step_query(store: Store, view: View) -> pd.DataFrame:
    """Columns step, layer, low, high, last, nonfinite, x, phase, run, metric, title, unit, site, for the focus run."""
    frame = followed_phase(view.phase, lambda phase: _on_axis(store, view, phase))
    return described(frame, view.metric, store.metrics()).assign(site=view.site, run=view.focus)


def _on_axis(store: Store, view: View, phase: str) -> pd.DataFrame:
    if view.x == "step" and not view.zoom:
        frame = layer_step(store, view.focus, view.metric, view.site, phase, stack=view.stack)
        return frame.assign(x=frame["step"])
    clock = sampled_clock(store, view.focus, phase, view.x)
    steps = steps_around(clock, view.zoom)
    frame = layer_step(store, view.focus, view.metric, view.site, phase, stack=view.stack, steps=steps)
    return placed(frame, clock)


def layer_step_info(frame: pd.DataFrame, view: View) -> Heat:
    """Cells, colour range and what is outside it."""
    if frame.empty:
        return Heat()
    axis = horizontal(view.x, float(frame["x"].max()))
    frame = _worst(frame)
    table = _pivot(frame)
    present = _pivot(frame.assign(high=1.0)).notna()
    cells = table.to_numpy(dtype=np.float64)
    finite = cells[np.isfinite(cells)]
    core = _core(cells, table.index.to_numpy())
    log = is_log(view.scale, [core.tolist()])
    low, high = _colour_range(core[core > 0] if log else core)
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
        steps=tuple(int(step) for step in frame.groupby("x")["step"].max()),
        marked_x=_marked(frame, view.step, axis.divisor),
        marked_layers=view.layers,
        divisor=axis.divisor,
        note=joined(measured(batch(frame)), _note(nonfinite, int(frame["nonfinite"].sum()), outside, hidden)),
    )


def _worst(frame: pd.DataFrame) -> pd.DataFrame:
    """`high` is NaN where one value of the bucket is: a cell shows the worst that happened in it."""
    buried = (frame["nonfinite"] > 0) & np.isfinite(frame["high"].to_numpy(dtype=np.float64))
    return frame.assign(high=frame["high"].mask(buried))


def _core(cells: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """The finite values of the blocks, which set the colours; those of layer 0 only where there is nothing else."""
    blocks = cells[layers >= 1]
    chosen = blocks if np.isfinite(blocks).any() else cells
    return np.asarray(chosen[np.isfinite(chosen)])


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


def _note(nonfinite: int, values: int, outside: int, hidden: int) -> str:
    told = []
    if nonfinite and nonfinite == values:
        told.append(f"{nonfinite:,} {_cells(nonfinite)} NaN or Inf (red).")
    elif nonfinite:
        held = "cell holds" if nonfinite == 1 else "cells hold"
        told.append(f"{nonfinite:,} {held} {values:,} NaN or Inf (red).")
    if outside:
        told.append(f"{outside:,} {_cells(outside)} beyond the colour range (1st to 99th percentile of the blocks).")
    if hidden:
        told.append(f"{hidden:,} {_cells(hidden)} at or below zero, which a log scale leaves blank.")
    return joined(*told)


def _cells(count: int) -> str:
    return "cell is" if count == 1 else "cells are"


LAYER_STEP = Figure(
    name="layer_step",
    title="Layer × step",
    caption="Look for a layer that lights up before the others and for the step where the whole depth changes colour; "
    "each cell is the largest value of its bucket of steps.",
    reads=("runs", "run", "metric", "site", "stack", "phase", "x", "zoom"),
    query=layer_step_query,
    info=layer_step_info,
    draw=heat_figure,
    table=heat_table,
    alt=heat_alt,
    one_run=True,
)
