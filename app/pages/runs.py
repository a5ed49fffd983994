"""All runs of the store: which are training, which went wrong, how far each is."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..chart import chart
from ..columns import columns
from ..figures import FIGURES
from ..group_view import group_control, group_view
from ..grouping import groups_of
from ..judging import judge, judged
from ..listing import coloured, found, listing, told_by_all
from ..scene import Scene
from ..url import WIDGET
from ..view import View
from ..widgets import remember
from .page import Page

__all__ = ["RUNS"]

COLUMNS: Mapping[str, Any] = {
    "Pinned": st.column_config.TextColumn("", width=30, help="Pinned"),
    "State": st.column_config.TextColumn(width=70),
    "Progress": st.column_config.ProgressColumn(format="%.0f%%", min_value=0.0, max_value=100.0, width=100),
    "Verdict": st.column_config.TextColumn(
        width=84, help="The worst finding; runs on screen are judged first, then the others"
    ),
    "Loss": st.column_config.LineChartColumn(
        "Curve", width=76, help="Training loss, from the first step to the newest"
    ),
    "Tokens": st.column_config.NumberColumn(format="compact"),
    "Parameters": st.column_config.NumberColumn(format="compact"),
    "Started (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
}


def runs(scene: Scene) -> View:
    """The table, newest first, and the loss of the runs on screen."""
    left, right = st.columns(2, gap="medium")
    with left:
        key, now = remember("search", scene.view.search, lambda value: isinstance(value, str))
        hint = "Name, strategy, group or tag"
        search = st.text_input("Search", now, key=key, placeholder=hint, icon=":material/search:")
    with right:
        group = group_control(scene.runs, scene.view)
    view = replace(scene.view, search=search, group=group)
    rows = pinned_last(found(scene.runs, search), view.pins)
    table = listing(rows, judged(scene.store, rows), scene.losses(), view.pins)
    told = st.empty()
    told.caption(_told(rows))
    event = st.dataframe(
        coloured(table),
        key="runs-table",
        hide_index=True,
        height=min(38 + 35 * len(table), 360),
        column_config={**COLUMNS, **columns(table), **dict.fromkeys(told_by_all(table))},
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        alt="Table of runs",
    )
    names = [str(run) for run in rows["run"]][::-1]  # as in `listing`, whose names may be shortened
    chosen = [names[row] for row in event["selection"]["rows"] if row < len(names)]
    view = _act(view, chosen)
    if len(rows) > len(set(groups_of(rows, group).values())):
        group_view(rows, group)
    chart(scene, FIGURES["loss"], view)
    _judge(scene, rows, told)
    return view


def pinned_last(runs: pd.DataFrame, pins: Collection[str]) -> pd.DataFrame:
    """Rows of `run_table`, oldest first, with pinned ones at the end: `listing` turns them round."""
    return runs.sort_values("run", key=lambda names: names.isin(list(pins)), kind="stable")


def _act(view: View, chosen: list[str]) -> View:
    """What can be done with the ticked rows; the view after it."""
    if not chosen:
        st.caption("Tick rows to choose the runs that the charts show, or to pin them.")
        return view
    with st.container(horizontal=True):
        words = f"Show only the {len(chosen)} selected"
        st.button(words, icon=":material/filter_alt:", on_click=_show_only, args=(chosen,))
        if all(run in view.pins for run in chosen):
            pressed = st.button("Unpin", icon=":material/keep_off:")
            pins = tuple(run for run in view.pins if run not in chosen)
        else:
            pressed = st.button("Pin: keep on screen, on top", icon=":material/keep:")
            pins = tuple(dict.fromkeys([*view.pins, *chosen]))
    return replace(view, pins=pins) if pressed else view


def _judge(scene: Scene, rows: pd.DataFrame, told: DeltaGenerator) -> None:
    """The table does not wait for the diagnoses: it is drawn again when some are done."""
    done = 0
    for done, total in judge(scene.store, rows, scene.view.runs):
        told.caption(f"{_told(rows)} Verdicts: {done:,} of {total:,}.")  # where a click of the reader comes in between
    if done:
        st.rerun()


def _show_only(chosen: list[str]) -> None:
    st.session_state[f"{WIDGET}runs"] = chosen


def _told(frame: pd.DataFrame) -> str:
    """'12 runs, 2 running, 1 with NaN or Inf.'"""
    running = int((frame["status"] == "running").sum())
    broken = int((frame["nonfinite"].fillna(0) > 0).sum())
    parts = [f"{len(frame):,} {'run' if len(frame) == 1 else 'runs'}"]
    parts += [f"{running:,} running"] if running else []
    parts += [f"{broken:,} with NaN or Inf"] if broken else []
    return ", ".join(parts) + "."


RUNS = Page("runs", "Runs", ":material/list_alt:", runs)
