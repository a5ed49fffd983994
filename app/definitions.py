"""What the metric on screen means, in the words its author gave the store."""

import pandas as pd
import streamlit as st

from .text import markdown

__all__ = ["definition"]


def definition(metrics: pd.DataFrame, name: str) -> None:
    """One line under the controls: title, unit, formula, source. Nothing for a metric without a description."""
    known = metrics[metrics["name"] == name]
    if known.empty:
        return
    row = known.iloc[0]
    parts = [f"**{markdown(row['title'])}**"]
    parts += [
        f"{word}{markdown(row[field], 400)}" for field, word in FIELDS if isinstance(row[field], str) and row[field]
    ]
    st.caption(" · ".join(parts))


FIELDS = (("formula", ""), ("reduction", ""), ("unit", "unit: "), ("source", "source: "))
