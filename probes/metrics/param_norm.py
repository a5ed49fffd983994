"""Norm of a site's parameters."""

import torch

from ._metric import Metric, Of, ParameterGroup, Pool, Pooled

__all__ = ["METRIC"]


def param_norm(group: ParameterGroup) -> Pooled:
    """sqrt(Σ_p ‖p‖²) after the step's update. Range [0, inf)."""
    return group.weight_square.sqrt(), torch.ones_like(group.weight_square)


METRIC = Metric(
    name="param_norm",
    of=Of.PARAMETER,
    unit="weight",
    title="Parameter norm",
    formula="sqrt(Σ_{p in site} ‖p‖²)",
    source="context for gradient and update norms",
    pool=Pool.SUM,
    measure=param_norm,
    reduction="after the step's update",
)
