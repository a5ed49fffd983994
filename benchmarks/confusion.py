"""How often each finding is right: sound runs and runs broken on purpose, from seeds no threshold was set with.

    python benchmarks/confusion.py [--store FOLDER] [--seeds N] [-o FOLDER]

Trains what is not in the store yet (about half an hour of one processor), judges all of it, and writes
the counts as JSON and as the page docs/confusion.md. What is true of a run is fixed by what is done to it
(benchmarks/confusion_faults.py); thresholds are those of depthscope.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from confusion_train import SEEDS, cases, train

from depthscope.sample_runs.corpus import load_corpus
from depthscope.store import StoreMissing, ingest, open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="folder of the runs; those in it are not trained again")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "store"
        train_missing(store, SEEDS[: options.seeds])


def train_missing(store: Path, seeds: range) -> None:
    corpus, there = load_corpus(), finished(store)
    for case in cases(seeds):
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


if __name__ == "__main__":
    main()
