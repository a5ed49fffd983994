"""What tests of the store share: rows, waiting for another thread or process, and processes to kill."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from depthscope.store import LayerStats, RunInfo, RunWriter, open_run

__all__ = ["flushed", "process", "script", "stats", "wait_until", "write_run"]


def stats(step: int, layer: int | None, **values: float) -> LayerStats:
    """One row of layer_stats; without values its variance is 10 * layer + step."""
    return LayerStats(step, "train", "main", layer, "resid_post", values or {"variance": 10.0 * (layer or 0) + step})


def write_run(
    root: Path, run: str = "a", steps: range = range(3), status: str = "finished", **how: object
) -> RunWriter:
    """Write a run with layers 1 and 2, and close it."""
    writer = open_run(root, RunInfo(run, strategy="pre"), **how)  # type: ignore[arg-type]
    writer.write(*(stats(step, layer) for step in steps for layer in (1, 2)))
    writer.close(status)
    return writer


def flushed(writer: RunWriter) -> bool:
    """Whether everything handed over is on disk."""
    return not writer._incoming and not writer._backlog


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for another thread or process to have done something."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen within 60 s"
        time.sleep(0.002)


def process(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """A Python process with warnings as errors, whose input and output are ours."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def script(code: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run a process to its end."""
    with process(code, *arguments) as child:
        out, err = child.communicate(timeout=60)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)
