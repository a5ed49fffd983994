"""Verdicts of all runs of a store: judged bit by bit, each once for as long as nothing new is to be judged.

A diagnosis reads most of a run, a tenth of a second and more: a table of a thousand runs cannot wait for it.
"""

import math
import time
from collections.abc import Iterable, Iterator

import pandas as pd
import streamlit as st

from depthscope.store import RunMissing, Store

from .diagnosis import findings_frame, verdicts

__all__ = ["judge", "judged"]

SLICE = 3.0
"""Seconds of judging between two drawings of the table."""
TOGETHER = 8
"""Runs that are judged by the same queries."""
GROWTH = 1.1
"""A run in training is judged again when its steps have grown by so much."""

State = tuple[str, str, str, int]


@st.cache_resource(show_spinner=False, max_entries=8)
def _known(store: str) -> dict[State, str]:
    """State of a run -> its verdict, '' where there is none yet; one table a store for everyone who looks."""
    return {}


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
    for start in range(0, len(waiting), TOGETHER):
        part = waiting[start : start + TOGETHER]
        known.update(_verdicts(store, part))
        yield len(runs) - len(waiting) + start + len(part), len(runs)
        if time.monotonic() > until:
            return


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
