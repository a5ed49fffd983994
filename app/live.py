"""Following runs that are being trained: look every 2 seconds, redraw only when the store has something new."""

import time
from collections.abc import Callable, Iterable

import pandas as pd
import streamlit as st

from depthscope.store import start_ingest

__all__ = ["follow", "keep_folded", "still_running"]

SECONDS = 2.0
FOLD_SECONDS = 30.0


def follow(changed: Callable[[], bool]) -> None:
    """Rerun the page as soon as `changed()`, which is asked every 2 seconds while the page is open."""
    drawn = time.monotonic()

    @st.fragment(run_every=SECONDS)
    def tick() -> None:
        if time.monotonic() - drawn > SECONDS / 2 and changed():  # the first call is part of drawing the page
            st.rerun()

    tick()


@st.cache_data(ttl=FOLD_SECONDS, show_spinner=False)
def keep_folded(store: str) -> None:
    """Have what waits in the spool folded into the database, by a process of its own; at most every 30 seconds a store,
    however many pages look at it: the cache remembers that it was done."""
    start_ingest(store)


def still_running(runs: pd.DataFrame, shown: Iterable[str]) -> bool:
    """Whether any of the runs `shown` is being trained now."""
    return bool((runs["run"].isin(list(shown)) & (runs["status"] == "running")).any())
