"""What a comparison trains, as data: every strategy at every learning rate with every seed, all else equal."""

from dataclasses import dataclass
from itertools import product

from depthscope.store import DepthscopeError

from ..checks import at_least, positive
from ..recipes import Recipe, check_recipe

__all__ = ["LEARNING_RATES", "Study", "recipes_of"]

LEARNING_RATES = (7e-4, 2e-3, 6e-3)
SKIP_TOKENS = 4096
"""The standard error of a skipped block's loss is then about 0.002 nats, for as many forwards as there are blocks."""


@dataclass(frozen=True)
class Study:
    """A comparison; seeds count from 0, the first strategy is what the others are held against."""

    strategies: tuple[str, ...]
    layers: int = 12
    width: int = 64
    steps: int = 500
    seeds: int = 3
    learning_rates: tuple[float, ...] = LEARNING_RATES


def recipes_of(study: Study) -> list[Recipe]:
    """One recipe a run; whole seeds first, so that an interrupted comparison has complete ones.

    Raises DepthscopeError for what cannot be compared.
    """
    if not study.strategies:
        raise DepthscopeError("expected at least one strategy to compare, but got none: pass --strategies")
    if not study.learning_rates:
        raise DepthscopeError("expected at least one learning rate, but got none: leave --lr out for the default grid")
    at_least("seeds", study.seeds, 1)
    for rate in study.learning_rates:
        positive("lr", rate)
    at_least("steps", study.steps, 1)
    at_least("layers", study.layers, 2)
    every = max(1, min(20, study.steps // 10))
    recipes = [
        Recipe(
            strategy,
            layers=study.layers,
            width=study.width,
            steps=study.steps,
            lr=rate,
            seed=seed,
            every=every,
            probe_every=every,
            evaluate_every=max(1, study.steps // 10),
            skip_tokens=SKIP_TOKENS,
            study=f"compare-{study.layers}x{study.width}-{study.steps}steps",
        )
        for seed, rate, strategy in product(
            range(study.seeds), sorted(set(study.learning_rates)), dict.fromkeys(study.strategies)
        )
    ]
    for recipe in recipes:
        check_recipe(recipe)
    return recipes
