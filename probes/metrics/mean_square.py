"""Mean square of the stream: what RMSNorm divides by, equal to the variance plus the squared mean."""

from ._metric import Metric, Of, Pool, Pooled, Tokens, mean_over

__all__ = ["METRIC"]


def mean_square(tokens: Tokens) -> Pooled:
    """Mean over valid tokens of ‖h‖²/D. Unit: activation squared, range [0, inf)."""
    return mean_over(tokens.mean_square_N, tokens.valid_N)


METRIC = Metric(
    name="mean_square",
    of=Of.ACTIVATION,
    unit="activation²",
    title="Mean square",
    formula="avg_t ‖h[t, :]‖² / D",
    source="Root Mean Square Layer Normalization, arXiv 1910.07467",
    pool=Pool.MEAN,
    measure=mean_square,
    reduction="per token over features, mean over real finite tokens",
)
