"""Grouping on a page: the choice of what runs are grouped by, and the table of the groups."""

import pandas as pd
import streamlit as st

from .columns import columns, table_height
from .grouping import group_keys, group_table
from .text import labels
from .view import View
from .widgets import pick

__all__ = ["group_control", "group_view"]


def group_control(runs: pd.DataFrame, view: View) -> str:
    """The key that runs are grouped by; `runs` are rows of `run_table`."""
    keys = group_keys(runs)
    shown = dict(zip(keys, labels(keys.values()).values(), strict=True))
    return pick("group", "Group runs by", shown, view.group)


def group_view(runs: pd.DataFrame, key: str) -> None:
    """The table of groups."""
    frame = group_table(runs, key)
    st.dataframe(
        frame,
        hide_index=True,
        height=table_height(min(len(frame), 10)),
        column_config=columns(frame),
        placeholder="–",
        alt="Groups of runs: how many, and their losses",
    )
