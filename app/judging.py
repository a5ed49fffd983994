"""Verdicts of all runs of a store: judged bit by bit, each once for as long as nothing new is to be judged.

A diagnosis reads most of a run: a table of a thousand runs cannot wait for it. What queries cost beside their rows is
paid once for many runs.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
import streamlit as st

from depthscope.store import RunMissing, Store

from .diagnosis import findings_frame, verdicts
from .verdict_file import State, load_verdicts, save_verdicts, verdict_file

__all__ = ["judge", "judged"]

SLICE = 3.0
"""Seconds of judging between two drawings of the table."""
TOGETHER = 64
"""Runs that are judged by the same queries, at most."""
READ = 2_000_000
"""Layers times steps that the same queries read, unless one run has more: eight of 24 layers and 10,000 steps."""
GROWTH = 1.1
"""A run in training is judged again when its steps have grown by so much."""


@st.cache_resource(show_spinner=False, max_entries=8)
def _known(store: str) -> dict[State, str]:
    """State of a run -> its verdict, '' where there is none yet; one table a store for everyone who looks."""
    return load_verdicts(verdict_file(store))


def judged(store: Store, runs: pd.DataFrame) -> dict[str, str]:
    """Run -> worst severity, of those rows of `run_table` that were judged already and have a finding."""
    known = _known(str(store.path))
    found = {state[0]: known.get(state, "") for state in _states(runs)}
    return {run: verdict for run, verdict in found.items() if verdict}


def judge(store: Store, runs: pd.DataFrame, first: Iterable[str] = ()) -> Iterator[tuple[int, int]]:
    """Judge for about SLICE seconds, `first` before the others and these from the last row on.

    Gives how many of how many runs are judged, time and again; nothing when all were. Raises StoreBusy.
    """
    known, ahead = _known(str(store.path)), set(first)
    waiting = [state for state in reversed(_states(runs)) if state not in known]
    waiting.sort(key=lambda state: state[0] not in ahead)
    until = time.monotonic() + SLICE
    done = len(runs) - len(waiting)
    try:
        for part in _parts(waiting, _sizes(runs)):
            known.update(_verdicts(store, part))
            done += len(part)
            yield done, len(runs)
            if time.monotonic() > until:
                return
    finally:  # also when a click of the reader ends it
        if done > len(runs) - len(waiting):
            save_verdicts(verdict_file(str(store.path)), known)


def _parts(waiting: list[State], sizes: Mapping[str, int]) -> Iterator[list[State]]:
    """What is judged by the same queries, in order."""
    part: list[State] = []
    read = 0
    for state in waiting:
        if part and (len(part) == TOGETHER or read + sizes[state[0]] > READ):
            yield part
            part, read = [], 0
        part.append(state)
        read += sizes[state[0]]
    if part:
        yield part


def _sizes(runs: pd.DataFrame) -> dict[str, int]:
    """Run -> layers times steps."""
    size = (runs["n_layers"].fillna(1) + 1) * (runs["last_step"].fillna(0) + 1)
    return dict(zip(runs["run"], size.astype("int64"), strict=True))


def _verdicts(store: Store, states: list[State]) -> dict[State, str]:
    try:
        found = verdicts(findings_frame(store, [state[0] for state in states]))
    except RunMissing:  # removed while we looked: the next table lacks it
        found = {}
    return {state: found.get(state[0], "") for state in states}


def _states(runs: pd.DataFrame) -> list[State]:
    """What a verdict holds for: the run, when it began, its state, and the order of magnitude of its newest step."""
    steps = runs["last_step"].fillna(0)
    return [
        (str(run), str(began), str(status), int(math.log(max(step, 0) + 1, GROWTH)))
        for run, began, status, step in zip(runs["run"], runs["started_at"], runs["status"], steps, strict=True)
    ]
