"""Size of what is added to the stream against the stream itself."""

from ._metric import Metric, Of, Pair, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def branch_ratio(pair: Pair) -> Pooled:
    """Mean over tokens of ‖Δ‖/‖h_in‖; tokens whose stream is zero are left out. Range [0, inf)."""
    valid_N = pair.valid_N & (pair.in_square_N > 0)
    return mean_over((pair.delta_square_N / pair.in_square_N).sqrt(), valid_N)


METRIC = Metric(
    name="branch_ratio",
    of=Of.PAIR,
    unit="",
    title="Branch ratio",
    formula="avg_t ‖Δ[t]‖ / ‖h_{l-1}[t]‖",
    source="Do Language Models Use Their Depth Efficiently?, arXiv 2505.13898",
    pool=Pool.MEAN,
    measure=branch_ratio,
    reduction="mean over real finite tokens",
)
