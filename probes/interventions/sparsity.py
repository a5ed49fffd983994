"""Essential sparsity: held-out loss against the share of weights that are set to zero, in one shot, without training.

Every curve starts at sparsity 0 with the untouched model. `loss_se` of a point is that of its difference to this start
(same tokens, clustered by sequence), and 0 there. The paper fine-tunes and uses task accuracy, so its essential
sparsity is another number; dropping points are read off the curves by `depthscope.store.dropping_points`.
Source: Jaiswal et al. 2023, "The Emergence of Essential Sparsity in Large Pre-trained Models", arXiv 2306.03805.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from depthscope.store import Record, SparsityLayer, SparsityPoint

from .context import Context
from .cost import NOTHING, Cost
from .curves import CURVES, UNSTRUCTURED, Curve, refinement
from .holdout import Losses, paired
from .masks import Mask, cut_masks, find_cuts, group_masks
from .matrices import Matrix, prunable
from .pruned import pruned
from .ranking import RANKINGS, Inputs, input_sizes

__all__ = ["sparsity", "sparsity_cost"]

DEFINITION = "oneshot_ce"


def sparsity(context: Context) -> list[Record]:
    """All curves; where the weights are those the run began with, once more as the control that later ones need."""
    weights = prunable(context.model, context.sites)
    inputs = input_sizes(weights, context.losses)
    found = [point for curve in CURVES for point in _Pruning(context, curve, weights, inputs).measured()]
    points = [record for record in found if isinstance(record, SparsityPoint)]
    control = [replace(point, weights="init") for point in points] if context.initial else []
    return [*found, *control]


def sparsity_cost(context: Context) -> Cost:
    """A forward for each point, and one to see what every matrix is given."""
    layers = len(context.layers)
    return sum((Cost(curve.points, layers * curve.points) for curve in CURVES), NOTHING) + Cost(1, layers)


@dataclass(frozen=True)
class _Pruning:
    """One curve of one model."""

    context: Context
    curve: Curve
    weights: tuple[Matrix, ...]
    inputs: Inputs

    def measured(self) -> Iterator[Record]:
        """The curve's points from 0 on, and the shares that its global cuts take from every matrix."""
        points = {0.0: self._row(0.0, self.context.base)}
        if self.curve.pattern != UNSTRUCTURED:
            row = self._pattern()
            yield from (points[0.0], row)
            return
        shares = self._cut(self.curve.grid, points)
        if self.curve.refined:
            coarse = sorted(points)
            self._cut(refinement(coarse, [points[s].loss for s in coarse]), points)
        yield from (points[s] for s in sorted(points))
        yield from shares if self.curve.scope == "global" else ()

    def _pattern(self) -> SparsityPoint:
        masks = group_masks(self.weights, RANKINGS[self.curve.ranking], self.inputs, self.curve.pattern)
        return self._row(_share(masks, self.weights), self._losses(masks))

    def _cut(self, sparsities: Sequence[float], points: dict[float, SparsityPoint]) -> list[SparsityLayer]:
        """Adds the points of these sparsities; returns each matrix's share of what was pruned."""
        ranking = RANKINGS[self.curve.ranking]
        shares: list[SparsityLayer] = []
        cuts = find_cuts(self.weights, ranking, self.inputs, sparsities, scope=self.curve.scope)
        for wanted, cut in zip(sparsities, cuts, strict=True):
            masks = cut_masks(self.weights, ranking, self.inputs, cut)
            points[wanted] = self._row(wanted, self._losses(masks))
            shares += self._shares(wanted, masks)
            del masks  # before the next ones are made
        return shares

    def _losses(self, masks: Sequence[Mask]) -> Losses:
        with pruned(self.context.model, self.weights, masks):
            return self.context.losses()

    def _row(self, sparsity: float, losses: Losses) -> SparsityPoint:
        _, se = paired(self.context.base, losses)
        return SparsityPoint(
            self.context.step,
            DEFINITION,
            self.curve.pattern,
            self.curve.scope,
            self.curve.ranking,
            "current",
            sparsity,
            losses.mean,
            se,
            losses.tokens,
        )

    def _shares(self, sparsity: float, masks: Sequence[Mask]) -> Iterator[SparsityLayer]:
        for mask, matrix in zip(masks, self.weights, strict=True):
            place = (self.context.step, matrix.stack, matrix.layer, matrix.name)
            yield SparsityLayer(*place, threshold=sparsity, pruned_share=mask.pruned / matrix.numel)


def _share(masks: Iterable[Mask], weights: Iterable[Matrix]) -> float:
    return sum(mask.pruned for mask in masks) / sum(matrix.numel for matrix in weights)
