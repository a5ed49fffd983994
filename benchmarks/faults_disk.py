"""Faults of a disk: full, and read-only. Both mount a small file system, which needs root."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults_work import Outcome, batch, flush, writing

from depthscope.store import ingest

__all__ = ["full_disk", "read_only_disk"]


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[str], None]]:
    """A file system of 24 MB; gives a function that mounts it again, read-only (`ro`) or not (`rw`)."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(filler: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def full_disk(root: Path, kills: int, chance: random.Random) -> Outcome:
    outcome, acknowledged, refused = Outcome(), set[tuple[str, int]](), 0
    with small_disk(root):
        store, filler = root / "runs", root / "filler"
        for trial in range(max(3, kills // 6)):
            run = f"run {trial}"
            with writing(store, run) as writer:
                writer.write(*batch(0))
                flush(writer)
                fill(filler)
                for step in range(1, 10):
                    writer.write(*batch(step))
                    time.sleep(0.01)
                refused += ingest(store).skipped is not None
                outcome.look(store, acknowledged | {(run, 0)})
                filler.unlink(missing_ok=True)
                flush(writer)
            acknowledged |= {(run, step) for step in range(10)}
            ingest(store)
            outcome.look(store, acknowledged)
            outcome.trials -= 1
    outcome.notes.append(f"{refused} ingests gave up while it was full")
    return outcome


def read_only_disk(root: Path, kills: int, chance: random.Random) -> Outcome:
    outcome, acknowledged = Outcome(), set[tuple[str, int]]()
    with small_disk(root) as remount:
        store = root / "runs"
        for trial in range(max(3, kills // 12)):
            run = f"run {trial}"
            with writing(store, run) as writer:
                writer.write(*batch(0))
                flush(writer)
                while True:  # busy while the writer has a file open
                    try:
                        remount("ro")
                        break
                    except subprocess.CalledProcessError:
                        time.sleep(0.01)
                for step in range(1, 10):
                    writer.write(*batch(step))
                    time.sleep(0.01)
                if ingest(store).skipped is None:
                    outcome.notes.append("an ingest went through on a read-only disk")
                outcome.look(store, acknowledged | {(run, 0)})
                remount("rw")
                flush(writer)
            acknowledged |= {(run, step) for step in range(10)}
            ingest(store)
            outcome.look(store, acknowledged)
            outcome.trials -= 1
    return outcome
