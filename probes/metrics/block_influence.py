"""Block Influence: how far a block turns the stream, the score ShortGPT removes layers by."""

from ._metric import Metric, Of, Pair, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def block_influence(pair: Pair) -> Pooled:
    """1 - mean over tokens of cos(h_in, h_out). Range [0, 2]; 0 for a block that only rescales."""
    return mean_over(2 * (pair.angle_N / 2).sin().square(), pair.valid_N)  # 1 - cos without cancellation


METRIC = Metric(
    name="block_influence",
    of=Of.PAIR,
    unit="",
    title="Block influence",
    formula="1 - avg_t cos(h_{l-1}[t], h_l[t])",
    source="ShortGPT, arXiv 2403.03853",
    pool=Pool.MEAN,
    measure=block_influence,
    reduction="mean over tokens of the per-token cosine",
)
