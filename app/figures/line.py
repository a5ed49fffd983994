"""One line of a figure, as plain numbers."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """One line: `y` at `x`, with the smallest and largest value of the bucket each point stands for (may be empty)."""

    label: str
    strategy: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    broken: tuple[float, ...] = ()
    """How many NaN and Inf the bucket of each point holds; empty: a point is one value."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many NaN and Inf each point stands for."""
        return tuple(map(int, self.broken)) or tuple(int(not np.isfinite(y)) for y in self.y)

    @property
    def nonfinite(self) -> tuple[float, ...]:
        """Positions where the value, or another of its bucket, is NaN or Inf."""
        return tuple(x for x, count in zip(self.x, self.counts, strict=True) if count)
