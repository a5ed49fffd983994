"""What the tests of pruning share: a family's model with its sites, and a copy whose weights are really zeroed."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from families import FAMILIES
from torch import nn

from depthscope.probes import Sites
from depthscope.probes.interventions import Context, Cost, Holdout, sequence_losses
from depthscope.probes.interventions.bench import Bench
from depthscope.probes.interventions.masks import Mask, apply, cut_masks, find_cuts
from depthscope.probes.interventions.matrices import Matrix, prunable
from depthscope.probes.interventions.ranking import RANKINGS
from depthscope.probes.sites import find_sites, trace_sites

__all__ = ["contexts", "smallest_masks", "traced", "zeroed"]


def traced(family: str) -> tuple[nn.Module, Sites]:
    """A small model of the family in eval mode, and what a traced forward tells of it."""
    model = FAMILIES[family].build().eval()
    return model, trace_sites(model, find_sites(model), (), FAMILIES[family].arguments)


def zeroed(model: nn.Module, sites: Sites, masks: Sequence[Mask]) -> nn.Module:
    """A copy of the model whose weights are zero where the masks say so."""
    rival = copy.deepcopy(model)
    for mask, matrix in zip(masks, prunable(rival, sites), strict=True):
        apply(mask, matrix, matrix.weight)
    return rival


def smallest_masks(
    matrices: Sequence[Matrix], sparsities: Sequence[float], *, scope: str, ranking: str = "magnitude", inputs=None
) -> list[list[Mask]]:
    """The masks of each sparsity."""
    score = RANKINGS[ranking]
    cuts = find_cuts(matrices, score, inputs or {}, sparsities, scope=scope)
    return [cut_masks(matrices, score, inputs or {}, cut) for cut in cuts]


def contexts(model: nn.Module, sites: Sites, holdout: Holdout) -> Callable[..., Context]:
    """How to make a context of an evaluation; what it spends is in the list `spent` of the function."""
    spent: list[Cost] = []

    def make(step: int = 0, **changes: Any) -> Context:
        base = sequence_losses(model, holdout)
        bench = Bench(model, sites, holdout, spent.append)
        return Context(model, sites, holdout, base, step, bench, spent.append, **changes)

    make.spent = spent
    return make
