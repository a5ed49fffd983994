"""One run as the measure of the others: the summary's numbers as differences from it."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from .columns import columns, table_height
from .configuration import configuration_differences
from .figures import TABLES
from .figures.difference import baseline_of
from .figures.summary import Summary
from .listing import strategy_cell
from .scene import Scene
from .text import labels, plain
from .view import View
from .widgets import pick

__all__ = ["baseline_differences", "baseline_view", "configuration_view"]


def baseline_view(scene: Scene, view: View) -> View:
    """The choice of a baseline and the table of differences; nothing with fewer than two runs."""
    if len(view.runs) < 2:
        return view
    st.subheader("Difference from a baseline", anchor=False)
    with st.columns([2, 3])[0]:
        chosen = pick("baseline", "Baseline", labels(view.runs), baseline_of(view))
    summary: Summary = scene.record(TABLES["summary"], view)
    frame = baseline_differences(summary, chosen)
    if frame.empty:
        st.caption("The baseline has no profiles yet.")
    else:
        st.dataframe(
            frame.style.map(strategy_cell, subset=["Strategy"]),
            hide_index=True,
            height=table_height(len(frame)),
            column_config=columns(frame, TABLES["summary"].secondary, signed=True),
            placeholder="–",
            alt="Each run's summary numbers minus those of the baseline",
        )
        st.caption("Each number is that of the run minus that of the baseline.")
    usual = baseline_of(replace(view, baseline=""))
    return replace(view, baseline="" if chosen == usual else chosen)


def baseline_differences(summary: Summary, baseline: str) -> pd.DataFrame:
    """The numbers of every other row of the summary minus those of the row of `baseline`; empty without that row."""
    frame = TABLES["summary"].table(summary)
    own = frame[frame["Run"] == baseline]
    others = frame[frame["Run"] != baseline].reset_index(drop=True)
    if own.empty:
        return others.iloc[:0]
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    differences = others[numbers] - own[numbers].iloc[0]
    names = others[["Strategy", "Run"]].map(plain)
    return pd.concat([names, differences], axis="columns")


def configuration_view(runs: pd.DataFrame) -> None:
    """Only the settings in which the runs differ."""
    st.subheader("Settings that differ", anchor=False)
    frame = configuration_differences(runs)
    if frame.empty:
        st.caption("The runs were started with the same settings.")
    else:
        if len(runs) > len(frame):  # a row a run is easier to read than a column a run
            frame = frame.set_index("Setting").T.rename_axis(columns=None).rename_axis("Run").reset_index()
        st.dataframe(frame, hide_index=True, alt="Settings in which the runs differ")
