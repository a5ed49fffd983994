"""Least-squares lines: how one number grows with depth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Line", "exponential", "linear"]


@dataclass(frozen=True)
class Line:
    """y = intercept + slope * layer; r2 in (-inf, 1], 1 for a perfect fit (and for a constant)."""

    slope: float
    intercept: float
    r2: float


def linear(values: pd.Series) -> Line:
    """Fit of `values` (indexed by layer, all finite, at least two) against the layer."""
    x, y = values.index.to_numpy(dtype=float), values.to_numpy(dtype=float)
    slope, intercept = np.polyfit(x, y, 1)
    residual = float(np.sum((y - intercept - slope * x) ** 2))
    total = float(np.sum((y - y.mean()) ** 2))
    return Line(float(slope), float(intercept), 1.0 if total == 0 else 1.0 - residual / total)


def exponential(values: pd.Series) -> Line:
    """Fit of log(values) against the layer: slope is the growth rate per block. `values` must be positive."""
    return linear(pd.Series(np.log(values.to_numpy(dtype=float)), index=values.index))
