"""Variance of the stream over features: the quantity whose growth with depth the norm-placement papers argue about."""

from ._metric import Metric, Of, Pool, Pooled, Tokens, mean_over

__all__ = ["METRIC"]


def variance(tokens: Tokens) -> Pooled:
    """Mean over valid tokens of the biased variance over D. Unit: activation squared, range [0, inf)."""
    return mean_over(tokens.variance_N, tokens.valid_N)


METRIC = Metric(
    name="variance",
    of=Of.ACTIVATION,
    unit="activation²",
    title="Variance",
    formula="avg_t Var_d(h[t, :]), biased",
    source="Peri-LN, arXiv 2502.02732; The Curse of Depth, arXiv 2502.05795",
    pool=Pool.MEAN,
    measure=variance,
    reduction="per token over features, mean over real finite tokens",
)
