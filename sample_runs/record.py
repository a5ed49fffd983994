"""Remakes the recorded runs: `python -m depthscope.sample_runs.record [--work FOLDER]` trains them, exports a bundle.

What is finished in the working folder is not trained again, so an interrupted recording goes on where it was.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from depthscope.store import RunInfo, StoreMissing, export_runs, ingest, open_run, open_store, remove_runs, run_table

from .crew import TRAIN, train_all, usable_cores
from .evaluations import evaluate_all
from .recipes import RUNS, STANDARD, Recipe

__all__ = ["record"]

RECORDED = Path(__file__).with_name("recorded")
BUNDLE = "runs"
SETS = ("recorded", "recorded-seed1", "recorded-seed2")


def record(recipes: Sequence[Recipe], destination: Path, work: Path, console: Console) -> int:
    """Trains the recipes in the folder `work`, measures their weights and writes the bundle `destination/runs`.

    Returns the exit code of the training; nothing is replaced unless every run ended, diverged ones included.
    """
    code = train_missing(recipes, work, console)
    if code == 0:
        evaluate_all(recipes, work, console, usable_cores())
        store, bundle = work / "store", destination / BUNDLE
        tag_headline([recipe.name for recipe in recipes if recipe.strategy in STANDARD and recipe.seed == 0], store)
        ingest(store)
        shutil.rmtree(bundle, ignore_errors=True)
        export_runs(open_store(store), [recipe.name for recipe in recipes], bundle)
    return code


def tag_headline(runs: Sequence[str], store: Path) -> None:
    """The runs that a dashboard of the recorded ones opens with."""
    for run in runs:
        open_run(store, RunInfo(run, tags=("headline",)), append=True).close()


def train_missing(recipes: Sequence[Recipe], work: Path, console: Console) -> int:
    """Trains what the store in `work` has no whole run of; returns the exit code."""
    waiting = unfinished(recipes, work / "store")
    if not waiting:
        return 0
    return train_all(waiting, work / "store", console, (*TRAIN, "--checkpoints", str(work / "checkpoints")))


def unfinished(recipes: Sequence[Recipe], store: Path) -> list[Recipe]:
    """The recipes that the store has no whole run of; what an interrupted one left there is removed."""
    try:
        runs = run_table(open_store(store))
    except StoreMissing:
        return list(recipes)
    finished = set(runs.run[runs.status == "finished"])
    if partial := [recipe.name for recipe in recipes if recipe.name in {*runs.run} - finished]:
        remove_runs(open_store(store), partial)
    return [recipe for recipe in recipes if recipe.name not in finished]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code as `record`'s."""
    parser = argparse.ArgumentParser(prog="python -m depthscope.sample_runs.record", description="Record the runs.")
    parser.add_argument("--work", type=Path, help="folder that keeps store and checkpoints; default: one for this run")
    options = parser.parse_args(arguments)
    recipes = [recipe for name in SETS for recipe in RUNS[name]]
    if options.work is not None:
        return record(recipes, RECORDED, options.work, Console())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return record(recipes, RECORDED, Path(folder), Console())


if __name__ == "__main__":
    sys.exit(main())
