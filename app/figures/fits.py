"""Straight-line fits over depth; the word for the growth is the findings'."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..findings.fits import growth as named_growth

__all__ = ["Fit", "Growth", "growth", "half_depth_ratio", "line_fit"]


@dataclass(frozen=True)
class Fit:
    """Slope and R² of a least-squares line; NaN where there are fewer than three points."""

    slope: float
    r2: float


@dataclass(frozen=True)
class Growth:
    """The linear fit (value per layer) and the exponential one (log value per layer) of the same points."""

    linear: Fit
    exponential: Fit
    word: str
    """'exponential', 'linear' or 'flat', by the rule of the findings; '' where they name none."""


def line_fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Least squares; points that are not finite are left out. A constant has slope 0 and R² 0."""
    points = np.array([x, y], dtype=np.float64)
    a, b = points[:, np.isfinite(points).all(axis=0)]
    if len(a) < 3 or np.ptp(a) == 0:
        return Fit(float("nan"), float("nan"))
    slope, intercept = np.polyfit(a, b, 1)
    spread = float(((b - b.mean()) ** 2).sum())
    rest = float(((b - slope * a - intercept) ** 2).sum())
    return Fit(float(slope), 1 - rest / spread if spread > 1e-12 * max(float((b**2).sum()), 1e-300) else 0.0)


def growth(layers: Sequence[float], values: Sequence[float]) -> Growth:
    """Both fits over layers 2..L: layer 1 is dominated by the scale of the embedding."""
    kept = [(n, v) for n, v in zip(layers, values, strict=True) if n >= 2]
    x = [n for n, _ in kept]
    logs = [float(np.log(v)) if v > 0 else float("nan") for _, v in kept]
    found = named_growth(pd.Series([v for _, v in kept], index=x, dtype=np.float64))
    return Growth(line_fit(x, [v for _, v in kept]), line_fit(x, logs), found.law if found else "")


def half_depth_ratio(layers: Sequence[float], values: Sequence[float]) -> float:
    """Mean over the deep half of the layers divided by the mean over the early half; NaN without both halves."""
    top = max(layers, default=0)
    deep = [v for n, v in zip(layers, values, strict=True) if n > top / 2]
    early = [v for n, v in zip(layers, values, strict=True) if 1 <= n <= top / 2]
    if not deep or not early or not np.mean(early) > 0:
        return float("nan")
    return float(np.mean(deep) / np.mean(early))
