"""Angle a block turns the stream by at each sequence's last real token, as the papers define it."""

import math

from ._metric import Metric, Of, Pair, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def angular_distance_last(pair: Pair) -> Pooled:
    """As angular_distance, over the last real token of each sequence only. Range [0, 1]."""
    index_B, valid_B = pair.last()
    return mean_over(pair.angle_N[index_B] / math.pi, valid_B)


METRIC = Metric(
    name="angular_distance_last",
    of=Of.PAIR,
    unit="π rad",
    title="Angular distance, last token",
    formula="avg_b arccos(cos(h_{l-1}[b, T], h_l[b, T])) / π",
    source="The Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887",
    pool=Pool.MEAN,
    measure=angular_distance_last,
    reduction="mean over sequences, last real token of each",
)
