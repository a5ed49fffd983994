"""Median over tokens of the feature variance: stands beside the mean, which a few sink tokens can dominate."""

from ._metric import Metric, Of, Pool, Pooled, Tokens, sampled_median, weighted

__all__ = ["METRIC"]


def variance_median(tokens: Tokens) -> Pooled:
    """Median of a strided sample of token variances, weighted by the token count when batches pool. Range [0, inf)."""
    return weighted(sampled_median(tokens.variance_N.unsqueeze(-1), tokens.valid_N, tokens.elements), tokens.count)


METRIC = Metric(
    name="variance_median",
    of=Of.ACTIVATION,
    unit="activation²",
    title="Variance, median token",
    formula="median_t Var_d(h[t, :])",
    source="robust companion of variance; sinks: arXiv 2402.17762",
    pool=Pool.MEAN,
    measure=variance_median,
    reduction="sampled median over at most 4,096 tokens ('exact': over all), token-weighted mean over batches",
)
