"""Step times of a training loop with and without segments being written, in turns.

    python benchmarks/jitter.py [--seconds 20] [--rounds 4]

Each step trains a small decoder on one core and, in the arms with a store, hands over 145 records: the rows of a model
of 24 blocks at six sites, and the step's own. Also told: what the call of write() takes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from store_rows import LAYERS, SITES

from depthscope.sample_runs import build_model
from depthscope.store import LayerStats, Record, RunInfo, Step, ingest, open_run

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
ARMS = ("no store", "segments", "segments, a client holds the database")


def trainer() -> Callable[[], None]:
    """One step of training."""
    model = build_model("pre", layers=4, width=128, heads=4, vocab=256)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(256, (4, 65))

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def records(step: int) -> list[Record]:
    rows: list[Record] = [
        LayerStats(step, "train", "main", layer, site, dict.fromkeys(metrics, layer + step / 7))
        for site, metrics in SITES.items()
        for layer in range(1, LAYERS + 1)
    ]
    return [*rows, Step(step, time.time(), loss=1.0, sampled=True)]


@contextmanager
def held(database: Path, really: bool) -> Iterator[None]:
    """While another process has the database open for writing, or not."""
    if not really:
        yield
        return
    command = [sys.executable, "-c", HOLD, str(database)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    yield
    holder.communicate(b"\n")


def loop(train: Callable[[], None], seconds: float, write: Callable[..., None]) -> tuple[list[float], list[float]]:
    """Times of the steps and of the calls of write(), in ms. Records are made outside what is timed."""
    steps, calls, end, step = [], [], time.monotonic() + seconds, 0
    while time.monotonic() < end:
        rows = records(step)
        start = time.perf_counter()
        train()
        between = time.perf_counter()
        write(*rows)
        done = time.perf_counter()
        steps.append((done - start) * 1000)
        calls.append((done - between) * 1000)
        step += 1
    return steps, calls


def told(times: list[float]) -> str:
    ordered = sorted(times)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50:.2f}, p99 {p99:.2f}, max {ordered[-1]:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    train = trainer()
    loop(train, 2, lambda *rows: None)
    steps, calls = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        open_run(root, RunInfo("first")).close()
        ingest(root)
        for turn in range(options.rounds):
            for arm in ARMS if turn % 2 else ARMS[::-1]:
                with held(root / "depthscope.duckdb", arm == ARMS[2]):
                    writer = None if arm == ARMS[0] else open_run(root, RunInfo(f"{arm} {turn}"))
                    found = loop(train, options.seconds, writer.write if writer else lambda *rows: None)
                    if writer:
                        writer.close()
                steps[arm] += found[0]
                calls[arm] += found[1]
    for arm in ARMS:
        print(f"{arm}: {len(steps[arm]):,} steps: {told(steps[arm])}; write(): {told(calls[arm])}", flush=True)


if __name__ == "__main__":
    main()
