"""Direction of what is added: above 0 it amplifies the stream, near 0 it writes something new, below 0 it erases."""

import torch

from ._metric import Metric, Of, Pair, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def branch_cosine(pair: Pair) -> Pooled:
    """Mean over tokens of cos(Δ, h_in); 0 where either is zero. Range [-1, 1]."""
    scale_N = (pair.in_square_N * pair.delta_square_N).sqrt()
    cosine_N = torch.where(scale_N > 0, pair.dot_N / scale_N.clamp_min(1e-300), 0).clamp(-1, 1)
    return mean_over(cosine_N, pair.valid_N)


METRIC = Metric(
    name="branch_cosine",
    of=Of.PAIR,
    unit="",
    title="Branch cosine",
    formula="avg_t cos(Δ[t], h_{l-1}[t])",
    source="Do Language Models Use Their Depth Efficiently?, arXiv 2505.13898",
    pool=Pool.MEAN,
    measure=branch_cosine,
    reduction="mean over real finite tokens",
)
