"""How one number grows with depth: least-squares lines, and the one rule that names the law everywhere."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .thresholds import THRESHOLDS, Thresholds

__all__ = ["Growth", "Line", "exponential", "growth", "linear"]


@dataclass(frozen=True)
class Line:
    """y = intercept + slope * layer; r2 in (-inf, 1], 1 for a perfect fit (and for a constant)."""

    slope: float
    intercept: float
    r2: float


@dataclass(frozen=True)
class Growth:
    """Growth of a positive number over layers 2..L: layer 1 is dominated by the scale of the embedding."""

    law: str
    """'exponential', 'linear' or 'flat'"""
    factor: float
    """value of the last layer / value of layer 2"""
    first: int
    last: int
    exp: Line
    lin: Line


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


def growth(values: pd.Series, limits: Thresholds = THRESHOLDS) -> Growth | None:
    """Growth of `values` (indexed by layer), or None with fewer than four finite, positive ones from layer 2 on.

    Flat below twofold growth; exponential when the fit of the logarithm has the larger R² and grows by more than 0.05
    a block, and describes at least half of the differences; else linear, which then means no more than: not shown to
    be exponential.
    """
    kept = values[(values.index >= 2) & (values > 0) & (values < float("inf"))]
    if len(kept) < limits.min_blocks:
        return None
    exp, lin, factor = exponential(kept), linear(kept), float(kept.iloc[-1] / kept.iloc[0])
    steep = exp.slope > limits.growth_rate and exp.r2 > max(lin.r2, limits.growth_fit)
    law = "flat" if factor < limits.growth_flat else "exponential" if steep else "linear"
    return Growth(law, factor, int(kept.index[0]), int(kept.index[-1]), exp, lin)
