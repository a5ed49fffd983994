"""Gradient that reaches the stream at a site, independent of batch size."""

from ._metric import Gradients, Metric, Of, Pool, Pooled, mean_over

__all__ = ["METRIC"]


def act_grad_norm(grads: Gradients) -> Pooled:
    """Mean over tokens of ‖∂(Σ token losses)/∂h[t]‖: with a mean loss that is the sum over tokens of ‖∂loss/∂h[t]‖.

    Range [0, inf). Tokens with a non-finite gradient are left out, as everywhere.
    """
    return mean_over(grads.norm_N, grads.valid_N)


METRIC = Metric(
    name="act_grad_norm",
    of=Of.GRADIENT,
    unit="loss/activation",
    title="Activation gradient norm",
    formula="avg_t ‖∂(Σ losses)/∂h[t, :]‖",
    source="Mix-LN, arXiv 2412.13795",
    pool=Pool.SUM,
    measure=act_grad_norm,
    reduction="mean over tokens times the token count",
)
