"""The demo: one small model under several norm strategies, trained side by side with equal seed, data and budget."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from depthscope.store import DepthscopeError, StoreBusy, default_store, open_store

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
    strategy, fewer than 2 layers, fewer than 1 step, or a folder that is something else than a store.
    """
    if not strategies:
        raise DepthscopeError(f"expected at least one strategy, but got none: take some of {', '.join(STANDARD)}")
    base = replace(DEFAULT, layers=layers, steps=steps, seed=seed)
    recipes = recipes_for(base, tuple(dict.fromkeys(strategies)))
    for recipe in recipes:
        check_recipe(recipe)
    folder = usable_store(Path(store) if store is not None else default_store())
    return train_all(recipes, folder, console or Console())


def usable_store(folder: Path) -> Path:
    """The store to write to: a new or empty folder, or a store; said here once rather than by every run."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        with suppress(StoreBusy):  # training never opens the database
            return open_store(folder).path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise DepthscopeError(
            f"expected a store or a place for a new one at {folder}, but got {wrong.strerror}: pass another store"
        ) from None
    return folder
