"""A statistic whose largest value over the layers leaves what was usual: since when, and in which layer it starts.

The largest layer is mostly not the one it starts in: what a layer adds to the stream is in every one above it.
"""

import math
from dataclasses import dataclass

import pandas as pd

from .thresholds import Thresholds

__all__ = ["STATISTICS", "Start", "Surge", "gradient_surge", "onsets", "start", "variance_surge"]

# Of layer_stats: name -> site.
STATISTICS = {"variance": "resid_post", "param_grad_norm": "block"}


@dataclass(frozen=True)
class Surge:
    """The newest largest value far above the usual one."""

    since: int
    """First sampled step that is as far above."""
    samples: int
    """Sampled steps that are."""
    step: int
    """The newest one."""
    layer: int
    """With the largest value there."""
    value: float
    fold: float
    """`value` over the usual one."""


@dataclass(frozen=True)
class Start:
    """The layer in which a surge starts, among those that were sampled."""

    layer: int
    fold: float
    """Its value over its own usual one."""
    all_layers: bool
    """Whether every layer has grown as much: then none is where it starts."""


def variance_surge(peaks: pd.DataFrame, limits: Thresholds) -> Surge | None:
    """Against the median of the first half of the run; None when there is none such, or too little to tell."""
    peaks = peaks.dropna(subset=["variance"])
    return surge(peaks, "variance", peaks["variance"].iloc[: len(peaks) // 2], limits.explosion_time, limits)


def gradient_surge(peaks: pd.DataFrame, limits: Thresholds) -> Surge | None:
    """Against the median of the whole run."""
    peaks = peaks.dropna(subset=["gradient"])
    return surge(peaks, "gradient", peaks["gradient"], limits.gradient_surge, limits)


def surge(peaks: pd.DataFrame, name: str, before: pd.Series, fold: float, limits: Thresholds) -> Surge | None:
    if len(peaks) < 2 * limits.min_blocks:
        return None
    usual, newest = float(before.median()), peaks.iloc[-1]
    value = float(newest[name])
    if not value > fold * usual > 0:
        return None
    above = peaks.loc[peaks[name] > fold * usual, "step"]
    step, layer = int(newest["step"]), int(newest[f"{name}_layer"])
    return Surge(int(above.iloc[0]), len(above), step, layer, value, value / usual)


def onsets(peaks: pd.DataFrame, limits: Thresholds) -> dict[str, int]:
    """Statistic -> step from which it surges, of one stack of one run."""
    found = {"variance": variance_surge(peaks, limits), "param_grad_norm": gradient_surge(peaks, limits)}
    return {name: one.since for name, one in found.items() if one}


def start(history: pd.DataFrame, metric: str, since: int, *, backward: bool = False) -> Start | None:
    """The first layer that has grown by the square root of the largest growth of any, half of it on a log scale.

    `history`: step, layer, metric, value. First in the order values are computed in: up, gradients down. None where no
    layer was sampled before `since`.
    """
    values = history[(history["metric"] == metric) & (history["value"] > 0) & (history["value"] < math.inf)]
    now = values[values["step"] == since].set_index("layer")["value"].sort_index()
    usual = values[values["step"] < since].groupby("layer")["value"].median()
    folds = (now / usual).dropna()
    if folds.empty or not folds.max() > 1:
        return None
    grown = folds[folds >= math.sqrt(folds.max())]
    at = grown.index[-1 if backward else 0]
    return Start(int(at), float(grown[at]), len(grown) == len(folds))
