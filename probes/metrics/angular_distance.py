"""Angle a block turns the stream by, over all tokens."""

import math

from ._metric import Metric, Of, Pair, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def angular_distance(pair: Pair) -> Pooled:
    """Mean over tokens of arccos(cos(h_in, h_out))/π. Range [0, 1]; 0.5 is orthogonal."""
    return mean_over(pair.angle_N / math.pi, pair.valid_N)


METRIC = Metric(
    name="angular_distance",
    of=Of.PAIR,
    unit="π rad",
    title="Angular distance",
    formula="avg_t arccos(cos(h_{l-1}[t], h_l[t])) / π",
    source="The Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887",
    pool=Pool.MEAN,
    measure=angular_distance,
    reduction="mean over real finite tokens",
)
