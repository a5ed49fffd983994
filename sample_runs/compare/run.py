"""Trains what a comparison lacks and prints what it found."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from depthscope.store import NotAStore, StoreMissing, default_store, open_store

from ..crew import INTERRUPTED, train_all
from ..demo import usable_store
from ..recipes import Recipe
from .results import Result, read_results
from .study import LEARNING_RATES, Study, recipes_of
from .table import print_comparison

__all__ = ["run_compare"]


def run_compare(
    strategies: Sequence[str],
    *,
    layers: int = Study.layers,
    width: int = Study.width,
    steps: int = Study.steps,
    seeds: int = Study.seeds,
    learning_rates: Sequence[float] = LEARNING_RATES,
    store: Path | str | None = None,
    console: Console | None = None,
    out: Console | None = None,
) -> int:
    """Trains every strategy at every learning rate with every seed into the store, then prints one comparison to `out`.

    Data order depends on the seed alone. Runs that the store has already, ended and of the same configuration, are not
    trained again: an interrupted comparison goes on. A run that diverges is a result. Returns 0, 1 where a run failed,
    130 after Ctrl-C. Raises DepthscopeError, before anything starts, for what cannot be compared.
    """
    recipes = recipes_of(Study(tuple(strategies), layers, width, steps, seeds, tuple(learning_rates)))
    folder = usable_store(Path(store) if store is not None else default_store())
    progress = console or Console(stderr=True)
    done = _ended(folder, recipes)
    missing = [recipe for recipe in recipes if recipe not in done]
    if done:
        progress.print(f"{len(done)} of {len(recipes)} runs are in {folder} already.", markup=False, highlight=False)
    code = train_all(missing, folder, progress) if missing else 0
    if code == INTERRUPTED:
        progress.print("The same command goes on from here.", markup=False, highlight=False)
        return code
    results = [result for result in map(_ended(folder, recipes).get, recipes) if result is not None]
    if results:
        print_comparison(results, len(recipes), out or Console())
    return code


def _ended(folder: Path, recipes: Sequence[Recipe]) -> dict[Recipe, Result]:
    with suppress(StoreMissing, NotAStore):  # a new folder is no store yet
        return read_results(open_store(folder), recipes)
    return {}
