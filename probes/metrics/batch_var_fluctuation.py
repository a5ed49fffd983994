"""How far a batch's variances (PowerNorm: mean squares) lie from the running ones."""

import torch

from ._metric import BatchStatistics, Metric, Of, Pool, Pooled

__all__ = ["METRIC"]


def batch_var_fluctuation(batch: BatchStatistics) -> Pooled:
    """(1/D) |s_B - s|_2 for biased variances s, of PowerNorm psi^2; s as it was before this batch. Range [0, inf)."""
    distance = (batch.spread_D - batch.running_spread_D).norm() / batch.spread_D.numel()
    return distance, torch.ones_like(distance)


METRIC = Metric(
    name="batch_var_fluctuation",
    of=Of.BATCH,
    unit="activation²",
    title="Distance of batch variances from running variances",
    formula="(1/D) |sigma²_B - sigma²|_2",
    source="PowerNorm, arXiv 2003.07845",
    pool=Pool.MEAN,
    measure=batch_var_fluctuation,
    reduction="mean over training forwards and the norms of a layer",
)
