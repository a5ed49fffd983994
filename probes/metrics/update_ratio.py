"""How much a step moves a site's weights: what a gradient norm alone does not say under Adam."""

import torch

from ._metric import Metric, Of, ParameterGroup, Pool, Pooled

__all__ = ["METRIC"]


def update_ratio(group: ParameterGroup) -> Pooled:
    """‖ΔW‖/‖W‖ from at most 65,536 strided elements a matrix; 0 for weights that are all zero. Range [0, inf)."""
    weight = group.sampled_weight_square.sqrt()
    ratio = group.sampled_update_square.sqrt() / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    return torch.where(weight > 0, ratio, torch.zeros_like(ratio)), torch.ones_like(weight)


METRIC = Metric(
    name="update_ratio",
    of=Of.PARAMETER,
    unit="",
    title="Update ratio",
    formula="‖ΔW‖ / ‖W‖, sampled",
    source="makes gradient skew readable under Adam",
    pool=Pool.SUM,
    measure=update_ratio,
    reduction="sampled: at most 65,536 strided elements a matrix",
)
