"""How often each finding is right: sound runs and runs broken on purpose, from seeds no threshold was set with.

    python benchmarks/confusion.py [--store FOLDER] [--seeds N] [--no-training] [-o results.json] [--page FILE.md]

Trains what is not in the store yet (about 5 minutes of one processor a seed), judges all of it, and writes the counts
as JSON and as a page. What is true of a run is fixed by what is done to it (confusion_faults.py); thresholds are
those of depthscope.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from confusion_page import page
from confusion_table import Judged, judged
from confusion_train import SEEDS, Case, cases, train

from depthscope.app.findings import diagnose_runs
from depthscope.sample_runs.corpus import load_corpus
from depthscope.store import Store, StoreMissing, ingest, open_store

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="folder of the runs; those in it are not trained again")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--no-training", action="store_true", help="judge the runs that are there, and no others")
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE / "results" / f"confusion-{datetime.now(UTC):%F}.json"
    )
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "confusion.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = list(cases(SEEDS[: options.seeds]))
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "store"
        if not options.no_training:
            train_missing(store, chosen)
        there = finished(store)
        trained = [case for case in chosen if case.name in there]
        every = judge(open_store(store), trained)
    told = {**facts(trained), "planned": len(chosen)}
    options.output.write_text(json.dumps({**told, "judged": [asdict(one) for one in every]}, indent=1) + "\n")
    options.page.write_text(page(told, every), encoding="utf-8")


def train_missing(store: Path, chosen: Iterable[Case]) -> None:
    corpus, there = load_corpus(), finished(store)
    for case in chosen:
        if case.name not in there:
            began = time.process_time()
            train(case, store, corpus)
            print(f"{case.name}: {time.process_time() - began:.1f} s", flush=True)
    ingest(store)


def finished(store: Path) -> set[str]:
    try:
        runs = open_store(store).runs()
    except StoreMissing:
        return set()
    return set(runs.loc[runs["status"] == "finished", "run"])


def judge(store: Store, chosen: Sequence[Case]) -> list[Judged]:
    """What was said of each run, beside what is true of it."""
    found = diagnose_runs(store, [case.name for case in chosen])
    return [one for case in chosen for one in judged(case, {each.name: each for each in found[case.name]})]


def facts(chosen: Sequence[Case]) -> Mapping[str, Any]:
    """The words of the page's head."""
    recipes = [case.recipe for case in chosen]
    return {
        "layers": span(recipe.layers for recipe in recipes),
        "widths": span(recipe.width for recipe in recipes),
        "steps": span(recipe.steps for recipe in recipes),
        "seeds": span(recipe.seed for recipe in recipes),
        "depthscope": version("depthscope"),
        "torch": version("torch"),
    }


def span(numbers: Iterable[int]) -> str:
    listed = sorted(set(numbers))
    return f"{listed[0]} to {listed[-1]}" if len(listed) > 1 else str(listed[0])


if __name__ == "__main__":
    main()
