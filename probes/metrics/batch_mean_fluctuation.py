"""How far a batch's means lie from the running ones: what a norm over the batch would have to be stable for."""

import torch

from ._metric import BatchStatistics, Metric, Of, Pool, Pooled

__all__ = ["METRIC"]


def batch_mean_fluctuation(batch: BatchStatistics) -> Pooled:
    """(1/D) |mu_B - mu|_2, the running means mu as they were before this batch. Range [0, inf)."""
    if batch.mean_D is None or batch.running_mean_D is None:
        return torch.zeros_like(batch.spread_D[0]), torch.zeros_like(batch.spread_D[0])
    distance = (batch.mean_D - batch.running_mean_D).norm() / batch.mean_D.numel()
    return distance, torch.ones_like(distance)


METRIC = Metric(
    name="batch_mean_fluctuation",
    of=Of.BATCH,
    unit="activation",
    title="Distance of batch means from running means",
    formula="(1/D) |mu_B - mu|_2",
    source="PowerNorm, arXiv 2003.07845",
    pool=Pool.MEAN,
    measure=batch_mean_fluctuation,
    reduction="mean over training forwards and the norms of a layer",
)
