"""The demo: one small model under several norm strategies, trained side by side with equal seed, data and budget."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from depthscope.store import DepthscopeError, default_store

from .crew import train_all
from .recipes import RUNS, STANDARD, check_recipe, recipes_for

__all__ = ["run_demo"]

DEFAULT = RUNS["demo"][0]


def run_demo(
    strategies: Sequence[str] = STANDARD,
    *,
    layers: int = DEFAULT.layers,
    steps: int = DEFAULT.steps,
    seed: int = DEFAULT.seed,
    store: Path | str | None = None,
    console: Console | None = None,
) -> int:
    """Trains one run for each strategy into the store, several at once, with a progress bar each.

    Returns an exit code: 0, 1 where a run failed (the others still finish), 130 after Ctrl-C (the store is readable).
    A run that diverges is a result, not a failure. Raises DepthscopeError, before anything starts, for an unknown
    strategy, fewer than 2 layers, or fewer than 1 step.
    """
    if not strategies:
        raise DepthscopeError(f"expected at least one strategy, but got none: take some of {', '.join(STANDARD)}")
    base = replace(DEFAULT, layers=layers, steps=steps, seed=seed)
    recipes = recipes_for(base, tuple(dict.fromkeys(strategies)))
    for recipe in recipes:
        check_recipe(recipe)
    folder = Path(store) if store is not None else default_store()
    return train_all(recipes, folder, console or Console())
