"""Axes: what the horizontal one counts, when the vertical one is logarithmic, and what that hides."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Axis",
    "axis_range",
    "horizontal",
    "is_log",
    "joined",
    "layer_axis",
    "missing_note",
    "value_axis",
    "value_span",
]

LOG_RATIO = 10**1.5
"""Values that span more than this are read on a log axis: below it a linear one shows the shape better."""


FEW_DECADES = 2.5

FEWEST_TICKS, MOST_TICKS = 4, 8


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
    """Plotly's settings of an axis of layers: whole numbers only, the deepest among the ticks where it divides well."""
    depth = int(deepest)
    even = (n for n in range(1, depth) if depth % n == 0 and FEWEST_TICKS <= depth // n <= MOST_TICKS)
    return {"tickformat": "d", "dtick": 1 if depth <= MOST_TICKS else next(even, None)}


def axis_range(
    core: Iterable[Sequence[float]], every: Iterable[Sequence[float]], log: bool
) -> tuple[float, float] | None:
    """The span of the finite values of `core`, a little wider, where `every` would more than double it; else None."""
    inner, outer = _span(core, log), _span(every, log)
    if inner is None or outer is None:
        return None
    if outer[1] - outer[0] <= 2 * (inner[1] - inner[0]) + (0.5 if log else 1e-300):
        return None
    return _padded(inner, 0.06, log)


def _span(values: Iterable[Sequence[float]], log: bool) -> tuple[float, float] | None:
    """Smallest and largest finite value; their logarithms on a log axis, where only positive ones count."""
    flat = _finite(values)
    flat = np.log10(flat[flat > 0]) if log else flat
    return (float(flat.min()), float(flat.max())) if len(flat) else None


def value_span(values: Iterable[Sequence[float]], log: bool) -> tuple[float, float] | None:
    """Ends of an axis that holds the finite values (on a log axis the positive ones) with a little room; None: none."""
    span = _span(values, log)
    return None if span is None else _padded(span, 0.04, log)


def _padded(span: tuple[float, float], share: float, log: bool) -> tuple[float, float]:
    """A span, of logarithms on a log axis, as values, wider by a share of it on either side."""
    pad = share * (span[1] - span[0]) or (0.1 if log else 0.1 * abs(span[1]) or 1.0)
    low, high = span[0] - pad, span[1] + pad
    return (10**low, 10**high) if log else (low, high)


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
    # Plotly writes powers of ten a quarter larger than other numbers.
    return {**axis, "dtick": "D2", "tickformat": "~g"} if few else {**axis, "dtick": 1, "tickfont": {"size": 10.5}}


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
