"""All runs of the store: which are training, which went wrong, how far each is."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from ..chart import chart
from ..figures import FIGURES
from ..listing import coloured, listing, name_columns
from ..scene import Scene
from ..url import WIDGET
from ..view import View
from .page import Page

__all__ = ["RUNS"]

COLUMNS: Mapping[str, Any] = {
    "Progress": st.column_config.ProgressColumn(format="%.0f%%", min_value=0.0, max_value=100.0, width=130),
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
    table = listing(scene.runs)
    st.caption(_told(scene.runs))
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
    names = [str(run) for run in scene.runs["run"]][::-1]  # as in `listing`, whose names may be shortened
    chosen = [names[row] for row in event["selection"]["rows"] if row < len(names)]
    if chosen:
        words = f"Show only the {len(chosen)} selected"
        st.button(words, icon=":material/filter_alt:", on_click=_show_only, args=(chosen,))
    else:
        st.caption("Tick rows to choose the runs that the charts show.")
    chart(scene, FIGURES["loss"], scene.view)
    return scene.view


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
