"""Following runs that are being trained: look every few seconds, redraw only when the store has something new.

Server and browser often share the cores with the trainings, and those go first: where all cores are busy, a page looks
as often as a small share of the machine allows (benchmarks/live_cost.py).
"""

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable

import pandas as pd
import streamlit as st

from depthscope.store import start_ingest

__all__ = ["follow", "keep_folded", "rest", "still_running"]

FASTEST, SLOWEST = 2.0, 5.0
"""Seconds from one look to the next: the more a redraw costs, the rarer it is."""
SLOWEST_IF_BUSY = 60.0
"""The same where other processes want all of this machine's cores."""
SHARE = 0.02
"""What a page that follows may take of all cores."""
WITH_BROWSER = 2.0
"""Seconds of computing of server and browser together, for one of the server."""
REMEMBERED = 3
"""Redraws whose median is what the next will cost: one may have waited for an ingest or a cold cache."""
FOLD_SECONDS = 30.0
WORTH_FOLDING = 100
"""Segments that wait before they are folded where all cores are busy: a process for it costs more than a look."""


def follow(changed: Callable[[], bool], cost: float = 0.0) -> None:
    """Rerun the page as soon as `changed()`, which is asked every few seconds while the page is open.

    `cost`: seconds of computing (all threads of the server) that drawing the page took.
    """
    drawn = time.monotonic()
    usual = _usual(cost)
    seconds = rest(cost if usual is None else usual, os.cpu_count() or 1, usual is not None and all_cores_busy())

    @st.fragment(run_every=seconds)
    def tick() -> None:
        if time.monotonic() - drawn > seconds / 2 and changed():  # the first call is part of drawing the page
            st.session_state["_followed"] = True
            st.rerun()

    tick()


def _usual(cost: float) -> float | None:
    """What a redraw of this page costs, this one included; None for what the reader asked for: to open a page also
    fills its caches, and says nothing of the redraws that follow."""
    lately: deque[float] = st.session_state.setdefault("_costs", deque(maxlen=REMEMBERED))
    if not st.session_state.pop("_followed", False):
        lately.clear()
        return None
    lately.append(cost)
    return statistics.median(lately)


def rest(cost: float, cores: int, busy: bool) -> float:
    """Seconds until the next look after a page that took the server `cost` seconds of computing."""
    wanted = WITH_BROWSER * cost / (SHARE * cores)
    return min(SLOWEST_IF_BUSY if busy else SLOWEST, max(FASTEST, wanted))


def all_cores_busy() -> bool:
    """Whether as many processes as there are cores wanted to run in the last minute; False where nobody can say."""
    try:
        return os.getloadavg()[0] >= (os.cpu_count() or 1)
    except (AttributeError, OSError):  # Windows has no load average
        return False


@st.cache_data(ttl=FOLD_SECONDS, show_spinner=False)
def keep_folded(store: str) -> None:
    """Have what waits in the spool folded into the database, by a process of its own; at most every 30 seconds a store,
    however many pages look at it: the cache remembers that it was done."""
    start_ingest(store, at_least=WORTH_FOLDING if all_cores_busy() else 1)


def still_running(runs: pd.DataFrame, shown: Iterable[str]) -> bool:
    """Whether any of the runs `shown` is being trained now."""
    return bool((runs["run"].isin(list(shown)) & (runs["status"] == "running")).any())
