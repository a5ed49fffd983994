"""What the fault benchmarks share: batches, writers, and the comparison of a store with what was acknowledged."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import duckdb

from depthscope.store import DepthscopeError, LayerStats, RunInfo, RunWriter, open_run, open_store

__all__ = ["ROWS", "Outcome", "batch", "child", "flush", "write", "writing"]

ROWS = 5  # of a batch, which is a step


@dataclass
class Outcome:
    """What came of one kind of fault."""

    trials: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    corrupt: int = 0
    notes: list[str] = field(default_factory=list)

    def look(self, root: Path, acknowledged: set[tuple[str, int]]) -> set[tuple[str, int]]:
        """Compare the store with what was acknowledged; gives what is there."""
        self.trials += 1
        self.acknowledged = max(self.acknowledged, len(acknowledged))
        try:
            frame = open_store(root).sql("SELECT run, step, count(*) AS n FROM layer_stats GROUP BY run, step")
        except (DepthscopeError, duckdb.Error) as error:
            self.corrupt += 1
            self.notes.append(str(error)[:100])
            return set()
        found = {(run, int(step)): int(n) for run, step, n in frame.itertuples(index=False)}
        self.lost += sum(found.get(batch, 0) < ROWS for batch in acknowledged)
        self.doubled += sum(n > ROWS for n in found.values())
        return set(found)


def batch(step: int) -> list[LayerStats]:
    return [LayerStats(step, "train", "main", layer, "resid_post", {"variance": layer + step}) for layer in range(ROWS)]


def flush(writer: RunWriter) -> None:
    while writer._incoming or writer._backlog:
        time.sleep(0.0005)


@contextmanager
def writing(root: Path, run: str, **how: object) -> Iterator[RunWriter]:
    """A writer that flushes at once and starts no ingest."""
    quick = {"_TICK": 0.0005, "_INTERVAL": 0.0, "_LONGEST_INTERVAL": 0.02, "start_ingest": lambda store: None}
    with mock.patch.multiple("depthscope.store.spool", **quick):
        writer = open_run(root, RunInfo(run), **how)  # type: ignore[arg-type]
        try:
            yield writer
        finally:
            writer.close()


def write(root: Path, run: str, steps: range, **how: object) -> set[tuple[str, int]]:
    """Write batches, one a segment; gives them as acknowledged."""
    with writing(root, run, **how) as writer:
        for step in steps:
            writer.write(*batch(step))
            flush(writer)
    return {(run, step) for step in steps}


def child(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
