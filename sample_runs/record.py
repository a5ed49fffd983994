"""Remakes the recorded runs: `python -m depthscope.sample_runs.record` trains them and exports one bundle a run."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from depthscope.store import export_runs, ingest, open_store

from .crew import train_all
from .recipes import RUNS, Recipe

__all__ = ["record"]

RECORDED = Path(__file__).with_name("recorded")


def record(recipes: Sequence[Recipe], destination: Path, console: Console) -> int:
    """Trains the recipes in a store of their own and writes `destination/<strategy>`, replacing what was there.

    Returns the exit code of the training; nothing is replaced unless every run ended well.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = Path(folder, "store")
        code = train_all(recipes, store, console)
        if code == 0:
            ingest(store)
            for recipe in recipes:
                bundle = destination / recipe.strategy
                shutil.rmtree(bundle, ignore_errors=True)
                export_runs(open_store(store), [recipe.name], bundle)
    return code


if __name__ == "__main__":
    sys.exit(record(RUNS["recorded"], RECORDED, Console()))
