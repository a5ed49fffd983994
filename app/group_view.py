"""Grouping on a page: the choice of what runs are grouped by, and the table of the groups."""

import pandas as pd
import streamlit as st

from .grouping import group_keys, group_table
from .text import labels
from .view import View
from .widgets import pick

__all__ = ["group_control", "group_view"]

COLUMNS = {
    "n": st.column_config.NumberColumn(help="Runs in the group", width="small"),
    "Mean last loss": st.column_config.NumberColumn(format="%.4f"),
    "Standard deviation": st.column_config.NumberColumn(format="%.4f", help="Of the sample; none for one run"),
    "Lowest loss": st.column_config.NumberColumn(format="%.4f"),
    "Steps": st.column_config.NumberColumn(format="localized"),
}


def group_control(runs: pd.DataFrame, view: View) -> str:
    """The key that runs are grouped by; `runs` are rows of `run_table`."""
    keys = group_keys(runs)
    shown = dict(zip(keys, labels(keys.values()).values(), strict=True))
    return pick("group", "Group runs by", shown, view.group)


def group_view(runs: pd.DataFrame, key: str) -> None:
    """The table of groups."""
    st.dataframe(
        group_table(runs, key),
        hide_index=True,
        column_config=COLUMNS,
        placeholder="–",
        alt="Groups of runs: how many, and their losses",
    )
