"""How much a step moves a site's weights: what a gradient norm alone does not say under Adam."""

import torch

from ._metric import Metric, Of, ParameterGroup, Pool, Pooled

__all__ = ["METRIC"]


def update_ratio(group: ParameterGroup) -> Pooled:
    """‖ΔW‖/‖W‖ from at most 4,096 entries a matrix, in runs of 16; from all where the run measures exactly. [0, inf).

    Not measured where the weights are all zero, or were not seen before the update.
    """
    known = group.sampled_weight_square > 0
    ratio = (group.sampled_update_square / group.sampled_weight_square).sqrt()
    return torch.where(known, ratio, 0), known


METRIC = Metric(
    name="update_ratio",
    of=Of.PARAMETER,
    unit="",
    title="Update ratio",
    formula="‖ΔW‖ / ‖W‖, sampled",
    source="makes gradient skew readable under Adam",
    pool=Pool.SUM,
    measure=update_ratio,
    reduction="sampled: at most 4,096 entries a matrix, in runs of 16 ('exact': all)",
)
