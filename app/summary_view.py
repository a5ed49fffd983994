"""A table of numbers that are better read than drawn, with its caption and CSV."""

from typing import Any

import streamlit as st

from .figures import AnyTable
from .listing import name_columns, strategy_cell
from .scene import Scene
from .text import file_name, markdown
from .view import View

__all__ = ["summary_view"]

FOUR_DIGITS = st.column_config.NumberColumn(format="%.4g")


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
    numbers: dict[str, Any] = {name: FOUR_DIGITS for name in frame.columns if frame[name].dtype.kind == "f"}
    numbers["Last loss"] = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        coloured,
        hide_index=True,
        column_config={**numbers, **name_columns(frame)},
        placeholder="–",
        alt=f"{table.title}: one row a run",
    )
    st.download_button(
        "Download CSV",
        lambda: frame.to_csv(index=False).encode("utf-8", "replace"),
        file_name=file_name(f"depthscope {table.name}", ".csv"),
        mime="text/csv",
        key=f"csv-{table.name}",
        icon=":material/download:",
    )
