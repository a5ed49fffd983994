"""Largest magnitude in the stream: how close it comes to the limits of a number format."""

import torch

from ._metric import Metric, Of, Pool, Pooled, Tokens

__all__ = ["METRIC"]


def abs_max(tokens: Tokens) -> Pooled:
    """Largest finite |h| over valid tokens; 0 when there is none. Range [0, inf)."""
    return torch.where(tokens.valid_N, tokens.abs_max_N, 0).amax(), tokens.count


METRIC = Metric(
    name="abs_max",
    of=Of.ACTIVATION,
    unit="activation",
    title="Largest magnitude",
    formula="max_{t,d} |h[t, d]|",
    source="Massive Activations, arXiv 2402.17762",
    pool=Pool.MAX,
    measure=abs_max,
    reduction="maximum over real finite tokens",
)
