"""Number of NaN and Inf entries: where a run first breaks."""

import torch

from ._metric import Metric, Of, Pool, Pooled, Tokens

__all__ = ["METRIC"]


def nonfinite(tokens: Tokens) -> Pooled:
    """Count of entries of real tokens that are NaN or ±Inf. Range {0, 1, ...}."""
    # x - x is 0 for finite x and NaN otherwise; summing per token first keeps padding out.
    bad_N = (tokens.x_ND - tokens.x_ND != 0).sum(-1)
    return torch.where(tokens.real_N, bad_N, 0).sum(), tokens.real_N.sum()


METRIC = Metric(
    name="nonfinite",
    of=Of.ACTIVATION,
    unit="entries",
    title="NaN and Inf entries",
    formula="#{t,d : h[t, d] not finite}",
    source="counted so that the finite part stays readable",
    pool=Pool.SUM,
    measure=nonfinite,
    reduction="count over real tokens",
)
