"""Claims about losses, each strategy at its own best learning rate: read from the recorded sweep of rates."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..compare.results import Result
from ..compare.verdict import Standing, mean_loss, standings
from ..recipes import SWEEP_RATES, Recipe
from ..sweep import Point, missing_rate
from .losses import LossLook
from .verdict import Claim, Evidence

__all__ = ["OneSeed", "Sweep", "judged", "loss_table", "sweep_of"]


@dataclass(frozen=True)
class Sweep:
    """What was trained, and where each strategy stands whose rates are complete."""

    recipe: Recipe
    results: tuple[Result, ...]
    standings: Mapping[str, Standing]


@dataclass(frozen=True)
class OneSeed:
    """The losses of one seed, of each strategy at its best rate."""

    by_strategy: Mapping[str, float]

    def held_out(self, strategy: str) -> float:
        return self.by_strategy[strategy]


def sweep_of(recipe: Recipe, points: Sequence[Point]) -> Sweep:
    """A strategy counts with a seed once that seed has all its rates, those beyond an edge included."""
    whole = tuple(_result(recipe, p) for p in points if missing_rate(points, p.strategy, p.seed, SWEEP_RATES) is None)
    return Sweep(recipe, whole, {standing.strategy: standing for standing in standings(whole)})


def _result(recipe: Recipe, point: Point) -> Result:
    """A point as a comparison has it, without what was not kept."""
    final, best = (math.nan if loss is None else loss for loss in (point.final, point.best))
    trained = replace(recipe, strategy=point.strategy, lr=point.lr, seed=point.seed)
    return Result(trained, trained.name, point.diverged, final, best, None, "", None, None, None, None)


def judged(sweep: Sweep, claim: Claim) -> tuple[list[Evidence], str]:
    """The evidence of each seed that all strategies of the claim have, and an empty text; or none, and why."""
    assert isinstance(claim.look, LossLook)
    if why := "; ".join(_why_not(sweep, claim.strategies)):
        return [], why
    found = [sweep.standings[strategy] for strategy in claim.strategies]
    by_seed = [{result.recipe.seed: result.final_loss for result in standing.results} for standing in found]
    seeds = sorted(set.intersection(*(set(losses) for losses in by_seed)))
    names = claim.strategies
    return [
        claim.look(OneSeed({name: losses[seed] for name, losses in zip(names, by_seed, strict=True)})) for seed in seeds
    ], ""


def _why_not(sweep: Sweep, strategies: Iterable[str]) -> Iterable[str]:
    """What stands against a fair comparison, strategy by strategy."""
    for name in strategies:
        standing = sweep.standings.get(name)
        if standing is None:
            yield f"{name} was not swept"
        elif standing.learning_rate is None:
            yield f"{name} diverged at every rate"
        elif not standing.interior:
            yield f"the best rate of {name} is at the edge of its grid"


def loss_table(sweep: Sweep) -> list[str]:
    """Rows of Markdown: mean final loss of each strategy at each rate, the best one in bold."""
    rates = sorted({result.recipe.lr for result in sweep.results})
    head = ["strategy", "n", *(f"{rate:g}" for rate in rates)]
    rows = [[f"`{name}`", *_cells(sweep, standing, rates)] for name, standing in sweep.standings.items()]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _cells(sweep: Sweep, standing: Standing, rates: Sequence[float]) -> list[str]:
    runs = [result for result in sweep.results if result.recipe.strategy == standing.strategy]
    cells = [str(len({run.recipe.seed for run in runs}))]
    for rate in rates:
        at_rate = [run for run in runs if run.recipe.lr == rate]
        loss = mean_loss(at_rate)
        text = f"{loss:.3f}" if math.isfinite(loss) else "diverged" if at_rate else ""
        cells.append(f"**{text}**" if rate == standing.learning_rate else text)
    return cells
