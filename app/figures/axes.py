"""Axes: what the horizontal one counts, when the vertical one is logarithmic, and what that hides."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Axis", "axis_range", "horizontal", "is_log", "joined", "layer_axis", "missing_note", "value_axis"]

LOG_RATIO = 10**1.5
"""Values that span more than this are read on a log axis: below it a linear one shows the shape better."""


FEW_DECADES = 2.5


@dataclass(frozen=True)
class Axis:
    """Title of an axis and what its numbers are divided by."""

    title: str
    divisor: float = 1.0


def horizontal(x: str, largest: float) -> Axis:
    """The axis that counts `x` ('step', 'tokens' or 'wall_time' in seconds) up to `largest`."""
    if x == "tokens":
        return Axis("Tokens")
    if x == "wall_time":
        for unit, seconds in (("h", 3600.0), ("min", 60.0)):
            if largest >= 3 * seconds:
                return Axis(f"Time since the first step ({unit})", seconds)
        return Axis("Time since the first step (s)")
    return Axis("Optimizer step")


def is_log(scale: str, values: Iterable[Sequence[float]]) -> bool:
    """Whether values are drawn on a log axis; `scale` is 'log', 'linear' or 'auto'."""
    flat = _finite(values)
    if scale == "linear" or not (flat > 0).any():
        return False
    if scale == "log":
        return True
    return bool((flat > 0).all() and flat.max() / flat.min() > LOG_RATIO)


def layer_axis(deepest: float) -> dict[str, object]:
    """Plotly's settings of an axis of layers: whole numbers only, every one where they are few."""
    return {"tickformat": "d", "dtick": 1 if deepest <= 8 else None}


def axis_range(
    core: Iterable[Sequence[float]], every: Iterable[Sequence[float]], log: bool
) -> tuple[float, float] | None:
    """The span of the finite values of `core`, a little wider, where `every` would more than double it; else None."""
    inner, outer = _span(core, log), _span(every, log)
    if inner is None or outer is None:
        return None
    width = inner[1] - inner[0]
    if outer[1] - outer[0] <= 2 * width + (0.5 if log else 1e-300):
        return None
    pad = 0.06 * width or (0.1 if log else 0.1 * abs(inner[1]) or 1.0)
    low, high = inner[0] - pad, inner[1] + pad
    return (10**low, 10**high) if log else (low, high)


def _span(values: Iterable[Sequence[float]], log: bool) -> tuple[float, float] | None:
    """Smallest and largest finite value; their logarithms on a log axis, where only positive ones count."""
    flat = _finite(values)
    flat = np.log10(flat[flat > 0]) if log else flat
    return (float(flat.min()), float(flat.max())) if len(flat) else None


def _finite(values: Iterable[Sequence[float]]) -> np.ndarray:
    parts = [np.asarray(v, dtype=np.float64) for v in values]
    flat = np.concatenate(parts) if parts else np.empty(0)
    return flat[np.isfinite(flat)]


def value_axis(
    values: Iterable[Sequence[float]], log: bool, ends: tuple[float, float] | None = None
) -> dict[str, object]:
    """Plotly's settings of a value axis: on few decades ticks at 1, 2 and 5, on many the decades."""
    if not log:
        return {"type": "linear", "range": ends}
    span = _span(values, log)
    few = span is not None and span[1] - span[0] < FEW_DECADES
    axis: dict[str, object] = {"type": "log", "range": ends and [math.log10(end) for end in ends]}
    # With a format Plotly labels the ticks between decades in full: 20, not a small 2.
    return {**axis, "dtick": "D2", "tickformat": "~g"} if few else {**axis, "dtick": 1}


def missing_note(nonfinite: int, hidden: int) -> str:
    """What the picture cannot place: NaN or Inf, and values that a log axis has no room for."""
    told = []
    if nonfinite:
        told.append(f"Red triangles mark {nonfinite:,} NaN or Inf {_values(nonfinite)}.")
    if hidden:
        told.append(f"{hidden:,} {_values(hidden)} at or below zero cannot be drawn on a log axis.")
    return joined(*told)


def _values(count: int) -> str:
    return "value" if count == 1 else "values"


def joined(*sentences: str) -> str:
    """Sentences in a row, empty ones left out."""
    return " ".join(s for s in sentences if s)
