"""The frame around every page: store, navigation, sidebar, live refresh.

Every widget is drawn by the entry script, never inside a page that Streamlit runs: Streamlit ties the value of a widget
to the page that drew it, and loses it on a change of page.
"""

import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st

from depthscope.store import DepthscopeError, Store, StoreBusy, StoreMissing, default_store, open_store, run_table

from .live import follow, keep_folded, still_running
from .menu import Menu, menu
from .scene import Scene, revision
from .sidebar import live_toggle, newest_runs, sidebar
from .stretch import stretch_control
from .style import ICON, LOGO, PAGE_STYLE
from .text import markdown
from .theme import DARK, LIGHT
from .url import pull, push
from .view import View
from .welcome import welcome

__all__ = ["shell"]

LISTED_SECONDS = 10.0
"""A run that falls silent changes nothing in the store: whether it has is asked again after so long."""


def shell(first: str = "overview") -> None:
    """Draw the dashboard; `first` names the page that a bare address opens."""
    st.set_page_config(page_title="depthscope", page_icon=ICON, layout="wide")
    st.logo(LOGO, size="large")
    st.html(PAGE_STYLE)
    place = menu(first)
    view = pull(place.page.name)
    place.show(view)
    path = default_store()
    try:
        store = open_store(path)
        with store.one_look():
            _draw(place, view, store, _runs(store))
    except StoreBusy as busy:
        st.warning(f"The store is busy, trying again every 2 seconds. {markdown(busy)}", icon=":material/hourglass:")
        follow(lambda: _has_runs(path))
    except StoreMissing:
        welcome(path, f"There is no store at {path} yet.")
        follow(lambda: _has_runs(path))
    except DepthscopeError as error:
        welcome(path, str(error))
        follow(lambda: _has_runs(path))


def _runs(store: Store) -> pd.DataFrame:
    """The table of runs, oldest first; the last one we had while the database is busy. Raises StoreBusy without one."""
    keep_folded(str(store.path))
    try:
        frame = _run_table(store, str(store.path), store.mark())
    except StoreBusy:
        if "_runs" not in st.session_state:
            raise
        return pd.DataFrame(st.session_state["_runs"])
    st.session_state["_runs"] = frame
    return frame


@st.cache_data(ttl=LISTED_SECONDS, max_entries=8, show_spinner=False)
def _run_table(_store: Store, path: str, mark_of_content: str) -> pd.DataFrame:
    """Oldest first; read once for the look that finds something new and the drawing that follows it. `_store` is that
    at `path`."""
    return run_table(_store).sort_values(["started_at", "run"], kind="stable", ignore_index=True)


def _draw(place: Menu, asked: View, store: Store, runs: pd.DataFrame) -> None:
    if runs.empty:
        welcome(store.path, f"The store at {store.path} has no runs yet.")
        follow(lambda: _has_runs(store.path))
        return
    started = time.process_time()
    view = stretch_control(sidebar(asked, runs), asked.x)
    scene = Scene(store, view, runs, DARK if st.context.theme.type == "dark" else LIGHT, place.links)
    st.header(place.page.title, anchor=False)
    notice = st.empty()
    try:
        view = place.page.draw(scene)
    except StoreBusy as busy:
        scene.busy.append(str(busy))
    except DepthscopeError as error:  # removed or replaced while the page was drawn
        notice.warning(f"The store has changed. {markdown(error)}", icon=":material/sync_problem:")
        follow(lambda: _has_runs(store.path))
        return
    left = replace(view, runs=() if view.runs == newest_runs(runs, view.pins) else view.runs)
    push(left)
    if left.pins != asked.pins:  # the sidebar and the page were drawn before the pin was set
        st.rerun()
    if left != asked:
        place.show(left)
    if scene.busy:
        notice.caption(f":material/hourglass: Showing the last frame: {markdown(scene.busy[0])}")
    if (place.page.live or still_running(runs, view.runs)) and live_toggle():
        seen = revision(runs)
        follow(lambda: revision(_runs(store)) != seen, cost=time.process_time() - started)
    st.sidebar.caption(f"Store: {markdown(store.path)}")


def _has_runs(path: Path) -> bool:
    try:
        return not run_table(open_store(path)).empty
    except DepthscopeError:
        return False
