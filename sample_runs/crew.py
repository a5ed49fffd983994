"""Trains several recipes at once, each in a process of its own, with one progress bar a run.

Processes, because the probe watches one model of a process as it would in anybody's training script, and because a run
that fails or is killed must leave the others alone. They share the cores; with one thread each, taking turns costs no
throughput, and all curves grow side by side.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .recipes import Recipe, to_json

__all__ = ["TRAIN", "plan", "train_all", "usable_cores"]

SIDE_BY_SIDE = 5  # so many share the cores where there are fewer; each takes about 600 MB
SECONDS_TO_STOP = 20
TRAIN = (sys.executable, "-m", "depthscope.sample_runs.train")
TOLD, DIVERGED, INTERRUPTED = 2, 3, 130  # exit codes of TRAIN; TOLD: its output has said what is wrong


@dataclass(frozen=True)
class Child:
    """A training process and the bar that shows it."""

    recipe: Recipe
    process: subprocess.Popen[str]
    errors: IO[str]
    bar: TaskID


Line = dict[str, Any] | None  # None: the process closed its output
Inbox = SimpleQueue[tuple[Child, Line]]


def plan(runs: int, cores: int) -> tuple[int, int]:
    """How many runs at once, and how many threads each."""
    at_once = max(1, min(runs, max(cores, SIDE_BY_SIDE)))
    return at_once, max(1, cores // at_once)


def train_all(recipes: Sequence[Recipe], store: Path, console: Console, command: Sequence[str] = TRAIN) -> int:
    """Trains all of them into the store; returns 0, 1 where a run failed, 130 where the user stopped it.

    `command` starts one run and answers as sample_runs.train does. A failed run leaves the others alone.
    """
    waiting, running = deque(recipes), set[Child]()
    inbox: Inbox = SimpleQueue()
    at_once, threads = plan(len(recipes), usable_cores())
    failures = 0
    with bars(console) as progress, stopping(running, progress.console):
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.add(start(waiting.popleft(), store, threads, command, progress, inbox))
                child, line = inbox.get()
                if line is not None:
                    show(child, line, progress)
                    continue
                running.discard(child)
                failures += not finish(child, progress.console)
        except KeyboardInterrupt:
            progress.console.print(f"Stopped. The runs so far are in {store}", markup=False, highlight=False)
            return INTERRUPTED
    return 1 if failures else 0


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}", justify="right", markup=False),
        TextColumn("{task.fields[rate]}", justify="right", markup=False),
        TimeRemainingColumn(),
        console=console,
    )


def start(recipe: Recipe, store: Path, threads: int, command: Sequence[str], progress: Progress, inbox: Inbox) -> Child:
    """A new process; a thread of ours carries its lines into the inbox."""
    arguments = ["--recipe", to_json(recipe), "--store", str(store), "--threads", str(threads)]
    errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed in finish()
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop the children in order
    )
    bar = progress.add_task(recipe.name, total=recipe.steps, loss="starting", rate="")
    child = Child(recipe, process, errors, bar)
    Thread(target=carry, args=(child, inbox), daemon=True).start()
    return child


def carry(child: Child, inbox: Inbox) -> None:
    """Reads the child's lines to the end of its output."""
    assert child.process.stdout is not None
    with child.process.stdout as lines:
        for line in lines:
            if line.startswith("{"):
                inbox.put((child, json.loads(line)))
    inbox.put((child, None))


def show(child: Child, line: dict[str, Any], progress: Progress) -> None:
    """One line of sample_runs.train on its bar, or above the bars where it is an error or the end."""
    if "error" in line:
        progress.console.print(f"{child.recipe.name}: {line['error']}", markup=False, highlight=False)
    elif "loss" in line:
        rate = f"{line['rate']:.1f} steps/s"
        progress.update(child.bar, completed=line["step"], loss=f"loss {line['loss']:.3f}", rate=rate)
    elif line.get("status") == "diverged":
        progress.update(child.bar, loss="diverged")
        progress.console.print(f"{line['run']} diverged at step {line['step']}; the others go on", markup=False)
    elif line.get("status") == "finished":
        progress.update(child.bar, loss=f"held-out loss {line['held_out_loss']:.3f}", rate="done")
    elif "steps" in line:
        progress.update(child.bar, description=line["run"])


def finish(child: Child, console: Console) -> bool:
    """Waits for a child whose output has ended; False, and one line that says why, where it failed."""
    code = child.process.wait()
    with child.errors as errors:
        errors.seek(0)
        last = next((line.strip() for line in reversed(errors.readlines()) if line.strip()), "it left no message")
    if code in (0, DIVERGED, TOLD):
        return code != TOLD
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    console.print(
        f"{child.recipe.name} failed: the training process ended {how}: {last}", markup=False, highlight=False
    )
    return False


@contextmanager
def stopping(running: set[Child], console: Console) -> Iterator[None]:
    """Whatever happens inside, no child outlives it: each is asked to close its run first."""
    try:
        yield
    finally:
        for child in running:
            child.process.send_signal(signal.SIGINT)
        try:
            for child in running:
                child.process.wait(SECONDS_TO_STOP)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            console.print("Not waiting any longer for the runs to close; what they had written stays", markup=False)
            for child in running:
                child.process.kill()
                child.process.wait()
        for child in running:
            child.errors.close()
