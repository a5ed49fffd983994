"""Median magnitude of the stream: the scale that massive activations are measured against."""

from ._metric import Metric, Of, Pool, Pooled, Tokens, sampled_median, weighted

__all__ = ["METRIC"]


def median_abs(tokens: Tokens) -> Pooled:
    """Median of |h| over a strided sample of about 4,096 entries of valid tokens (Gaussian: to 2%). Range [0, inf)."""
    return weighted(sampled_median(tokens.x_ND, tokens.valid_N, tokens.elements, magnitude=True), tokens.count)


METRIC = Metric(
    name="median_abs",
    of=Of.ACTIVATION,
    unit="activation",
    title="Median magnitude",
    formula="median_{t,d} |h[t, d]|, sampled",
    source="Massive Activations, arXiv 2402.17762",
    pool=Pool.MEAN,
    measure=median_abs,
    reduction="sampled median of at most 4,096 entries ('exact': of all), token-weighted mean over batches",
)
