"""A table of numbers that are better read than drawn, with its caption and CSV."""

import streamlit as st

from .columns import columns, table_height
from .csv_button import csv_button
from .figures import AnyTable
from .listing import strategy_cell
from .scene import Scene
from .text import markdown
from .view import View

__all__ = ["summary_view"]


def summary_view(scene: Scene, table: AnyTable, view: View, nothing: str = "These runs have no profiles yet.") -> None:
    """Show `table` for a view, or the sentence `nothing`; the strategy is written in its colour."""
    record = scene.record(table, view)
    st.subheader(table.title, anchor=False)
    st.caption(f"{table.caption} {markdown(record.note, 500)}".strip())
    if record.empty:
        st.caption(nothing)
        return
    frame = table.table(record)
    coloured = frame.style.map(strategy_cell, subset=["Strategy"])
    st.dataframe(
        coloured,
        hide_index=True,
        height=table_height(len(frame)),
        column_config=columns(frame, table.secondary),
        placeholder="–",
        alt=f"{table.title}: one row a run",
    )
    csv_button(table.name, frame)
