"""Kurtosis over features: 3 for a Gaussian token, D for a token whose norm sits in a single channel."""

import torch

from ._metric import Metric, Of, Pool, Pooled, Tokens, mean_over

__all__ = ["METRIC"]


def kurtosis(tokens: Tokens) -> Pooled:
    """Mean over valid tokens of E[x⁴]/E[x²]² (not centred); 0 for a zero token. Range [1, D]."""
    square_N = tokens.mean_square_N
    # Scaled by the mean square before squaring: x⁴ alone overflows float32 from |x| = 4e9, and underflows below 1e-10.
    ratio_N = (tokens.square_ND / square_N.clamp_min(torch.finfo(square_N.dtype).tiny).unsqueeze(-1)).square().mean(-1)
    return mean_over(ratio_N, tokens.valid_N)


METRIC = Metric(
    name="kurtosis",
    of=Of.ACTIVATION,
    unit="",
    title="Kurtosis",
    formula="avg_t E_d[h⁴] / E_d[h²]²",
    source="scale-free companion of Massive Activations, arXiv 2402.17762",
    pool=Pool.MEAN,
    measure=kurtosis,
    reduction="per token over features, mean over real finite tokens",
)
