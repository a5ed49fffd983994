"""What a comparison may claim: each strategy's best learning rate, a ranking only where it is fair, paired seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from .results import Result

__all__ = ["Standing", "differences", "mean_loss", "ranking", "standings"]


@dataclass(frozen=True)
class Standing:
    """A strategy at its best learning rate."""

    strategy: str
    learning_rate: float | None
    """None where every run diverged."""
    interior: bool
    """A lower and a higher rate were tried and were worse: the best rate lies inside the grid."""
    results: tuple[Result, ...]
    """Its runs at that rate, by seed."""
    diverged: int
    """Runs that diverged, at any rate."""


def standings(results: Sequence[Result]) -> list[Standing]:
    """One for each strategy, in the order they appear."""
    return [_standing(name, results) for name in dict.fromkeys(result.recipe.strategy for result in results)]


def _standing(strategy: str, results: Sequence[Result]) -> Standing:
    own = [result for result in results if result.recipe.strategy == strategy]
    rates = sorted({result.recipe.lr for result in own})
    losses = {rate: mean_loss([result for result in own if result.recipe.lr == rate]) for rate in rates}
    best = min(rates, key=lambda rate: (losses[rate], rate))
    diverged = sum(result.diverged for result in own)
    if losses[best] == math.inf:
        return Standing(strategy, None, False, (), diverged)
    at_best = sorted((r for r in own if r.recipe.lr == best), key=lambda result: result.recipe.seed)
    return Standing(strategy, best, rates[0] < best < rates[-1], tuple(at_best), diverged)


def mean_loss(results: Sequence[Result]) -> float:
    """Mean final held-out loss; infinite where there is none or a run diverged."""
    losses = [result.final_loss for result in results]
    return mean(losses) if losses and all(map(math.isfinite, losses)) else math.inf


def ranking(found: Sequence[Standing]) -> tuple[list[str], str]:
    """Strategies from the lowest loss on, and an empty text; or no strategies, and why there is no ranking."""
    lost = [standing.strategy for standing in found if standing.learning_rate is None]
    edge = [standing.strategy for standing in found if standing.learning_rate is not None and not standing.interior]
    counts = {len(standing.results) for standing in found}
    if lost:
        return [], f"{', '.join(lost)} diverged at every learning rate"
    if edge:
        return [], f"the best learning rate of {', '.join(edge)} is at the edge of the grid: widen --lr"
    if len(counts) > 1:
        return [], "the strategies have different numbers of seeds: run the comparison to its end"
    return [s.strategy for s in sorted(found, key=lambda standing: mean_loss(standing.results))], ""


def differences(found: Sequence[Standing]) -> dict[str, list[float]]:
    """Final held-out loss minus that of the first strategy, seed by seed, each at its own best rate."""
    if not found:
        return {}
    base = {result.recipe.seed: result.final_loss for result in found[0].results}
    return {
        standing.strategy: [r.final_loss - base[r.recipe.seed] for r in standing.results if r.recipe.seed in base]
        for standing in found[1:]
    }
