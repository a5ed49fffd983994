"""How the columns of the tables look: a table fits beside the sidebar of a small screen (1024 pixels), names in full.

A heading may be shorter than the column's own name, which its tooltip and the CSV have; what most readers do not need
is hidden at first and can be shown with the table's own menu.
"""

from collections.abc import Collection
from typing import Any

import pandas as pd
import streamlit as st

__all__ = ["FITS", "columns", "fitted", "table_height"]

FITS = 30
"""Letters of a name that is shown in full; a longer one is cut by its cell, which shows all of it when it is opened."""

NUMBERS: dict[str, tuple[str, str, int]] = {
    "Step": ("Step", "localized", 58),
    "Last loss": ("Loss", "%.4f", 66),
    "Lowest loss": ("Lowest", "%.4f", 66),
    "Dense loss": ("Dense", "%.4f", 66),
    "Mean last loss": ("Mean loss", "%.4f", 84),
    "Standard deviation": ("± SD", "%.4f", 66),
    "Steps": ("Steps", "localized", 58),
    "Layers": ("Layers", "localized", 58),
    "Seed": ("Seed", "%d", 50),
    "NaN or Inf": ("NaN", "compact", 52),
    "n": ("n", "localized", 36),
    "Slope": ("Slope", "%.3g", 66),
    "R²": ("R²", "%.3f", 56),
    "Log slope": ("Log slope", "%.3g", 84),
    "Log R²": ("Log R²", "%.3f", 66),
    "Gradient deep/early": ("Grad. ratio", "%.3g", 86),
    "Max kurtosis": ("Kurtosis", "%.3g", 74),
    "Participation": ("Participation", "%.3g", 96),
    "Deep over early half": ("Deep/early", "%.3g", 84),
    "Blocks above 1 %": ("Over 1 %", "%.0f", 74),
    "Skip tolerance": ("Skip", "%.2f", 60),
    "Loop tolerance": ("Loop", "%.2f", 60),
}
"""Column -> heading, format, width in pixels."""

SIGNED = "%+.3g"


def table_height(rows: int) -> int:
    """Pixels of a table of a row a run: two dozen strategies are seen at once, of more the first ones."""
    return 38 + 35 * min(rows, 24)


def columns(frame: pd.DataFrame, hidden: Collection[str] = (), signed: bool = False) -> dict[str, Any]:
    """Streamlit's settings of the columns of a frame; `signed`: its numbers are differences."""
    settings: dict[str, Any] = {name: None for name in hidden if name in frame}
    for name in frame.columns:
        if name in settings:
            continue
        if name in NUMBERS:
            heading, form, width = NUMBERS[name]
            number = SIGNED if signed and frame[name].dtype.kind == "f" else form
            settings[name] = st.column_config.NumberColumn(heading, format=number, width=width, help=_help(name))
        elif frame[name].dtype.kind == "f":
            settings[name] = st.column_config.NumberColumn(format=SIGNED if signed else "%.4g")
    return settings | fitted(frame)


def _help(name: str) -> str | None:
    return None if NUMBERS[name][0] == name else name


def fitted(frame: pd.DataFrame) -> dict[str, Any]:
    """Widths of the columns of names: as wide as the longest, up to FITS letters."""
    found = {}
    for name, least in (("Strategy", 68), ("Run", 100)):
        if name in frame and len(frame):
            letters = min(int(frame[name].str.len().max()), FITS if name == "Run" else 14)
            found[name] = st.column_config.TextColumn(width=max(least, 24 + round(6.6 * letters)))
    return found
