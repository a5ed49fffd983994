"""The numbers of a figure or table as a CSV to take away."""

import pandas as pd
import streamlit as st

from .text import file_name

__all__ = ["csv_button"]


def csv_button(name: str, frame: pd.DataFrame) -> None:
    """A button that hands out `frame`; `name` is our own word for what it holds."""
    st.download_button(
        "Download CSV",
        lambda: frame.to_csv(index=False).encode("utf-8", "replace"),
        file_name=file_name(f"depthscope {name}", ".csv"),
        mime="text/csv",
        key=f"csv-{name}",
        icon=":material/download:",
    )
