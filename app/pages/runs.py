"""All runs of the store: which are training, which went wrong, how far each is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from ..chart import chart
from ..diagnosis import verdicts
from ..figures import FIGURES
from ..listing import coloured, found, listing, name_columns
from ..scene import Scene
from ..url import WIDGET
from ..view import View
from ..widgets import remember
from .page import Page

__all__ = ["RUNS"]

SPARK = 60
"""Points of a small loss curve."""

COLUMNS: Mapping[str, Any] = {
    "Progress": st.column_config.ProgressColumn(format="%.0f%%", min_value=0.0, max_value=100.0, width=130),
    "Verdict": st.column_config.TextColumn(help="The worst finding; judged for the runs on screen"),
    "Loss": st.column_config.LineChartColumn(width=110, help="Training loss of the runs on screen"),
    "Last loss": st.column_config.NumberColumn(format="%.4f"),
    "Lowest loss": st.column_config.NumberColumn(format="%.4f"),
    "Steps": st.column_config.NumberColumn(format="localized"),
    "Tokens": st.column_config.NumberColumn(format="compact"),
    "Parameters": st.column_config.NumberColumn(format="compact"),
    "NaN or Inf": st.column_config.NumberColumn(
        format="localized", help="NaN and Inf entries met in activations and gradients"
    ),
    "Started (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
}


def runs(scene: Scene) -> View:
    """The table, newest first, and the loss of the runs on screen."""
    with st.columns([2, 3])[0]:
        key = remember("search", scene.view.search, lambda value: isinstance(value, str))
        search = st.text_input("Search", key=key, placeholder="Name, strategy, group or tag", icon=":material/search:")
    view = replace(scene.view, search=search)
    rows = found(scene.runs, search)
    known = scene.known_findings()
    table = listing(rows, verdicts(known), _losses(scene))
    st.caption(_told(rows))
    event = st.dataframe(
        coloured(table),
        key="runs-table",
        hide_index=True,
        height=min(38 + 35 * len(table), 360),
        column_config={**COLUMNS, **name_columns(table)},
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        alt="Table of runs",
    )
    names = [str(run) for run in rows["run"]][::-1]  # as in `listing`, whose names may be shortened
    chosen = [names[row] for row in event["selection"]["rows"] if row < len(names)]
    if chosen:
        words = f"Show only the {len(chosen)} selected"
        st.button(words, icon=":material/filter_alt:", on_click=_show_only, args=(chosen,))
    else:
        st.caption("Tick rows to choose the runs that the charts show.")
    chart(scene, FIGURES["loss"], view)
    if not scene.findings().equals(known):  # the table need not wait for the diagnoses
        st.rerun()
    return view


def _losses(scene: Scene) -> dict[str, tuple[float, ...]]:
    """Run -> SPARK losses of it, spread over its training, from the frame that the chart below draws."""
    lines = scene.record(FIGURES["loss"], scene.view).lines
    return {line.label: line.y[:: max(1, len(line.y) // SPARK)] for line in lines}


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
