"""Taking it away: a report of chosen sections with notes of one's own, and the data behind it."""

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from ..downloads import csv_zip, html_report, json_report, parquet_zip
from ..report import SECTIONS, Wishes
from ..scene import Scene
from ..view import View
from ..widgets import remember
from .page import Page

__all__ = ["REPORT"]

TITLES = {
    "findings": "Findings",
    "notes": "Your notes",
    "loss": "Loss",
    "comparison": "Strategies compared",
    "profiles": "Depth profiles",
    "heatmaps": "Layers and steps",
    "massive": "Massive activations",
    "effectiveness": "Effectiveness of layers",
    "sparsity": "Sparsity",
    "masks": "Sparse training",
    "more": "Further figures",
    "settings": "Configuration and environment",
    "definitions": "Definitions of the metrics",
    "papers": "Papers as BibTeX",
}
ABOUT = (
    "One file that needs no network: verdicts first, every figure with its numbers and where it comes from. It is "
    "about the runs in the sidebar."
)
PICTURES = (
    "A single picture: the camera above each chart saves it as SVG; in the report every figure has buttons for SVG, "
    "PNG and its numbers as CSV."
)
JSON, ZIP = "application/json", "application/zip"
NOTES = "Read by everyone you send it to. Markdown: headings, lists, tables, links."


def report(scene: Scene) -> View:
    """Sections and notes on the left, what to take away on the right."""
    if not scene.view.runs:
        st.info("Choose runs in the sidebar.")
        return scene.view
    st.caption(ABOUT)
    left, right = st.columns([3, 2], gap="large")
    with left:
        view, chosen, notes = _wishes(scene.view)
    with right:
        _take_away(scene, Wishes(sections=chosen, notes=notes))
    return view


def _wishes(view: View) -> tuple[View, tuple[str, ...], str]:
    known = [name for name in view.sections if name in SECTIONS] or list(SECTIONS)
    key, now = remember("sections", known, lambda value: set(value) <= set(SECTIONS))
    options = [name for name in SECTIONS if name in TITLES]
    picked = st.pills(
        "Sections",
        options,
        default=[name for name in now if name in options],
        key=key,
        format_func=TITLES.__getitem__,
        selection_mode="multi",
        wrap=True,
    )
    chosen = tuple(name for name in SECTIONS if name in picked) or SECTIONS
    kept, text = remember("notes", "", lambda value: isinstance(value, str))
    notes = st.text_area(
        "Notes", text, key=kept, height=220, placeholder="What was tried, and what it shows", help=NOTES
    )
    return replace(view, sections=() if chosen == SECTIONS else chosen), chosen, notes


def _take_away(scene: Scene, wishes: Wishes) -> None:
    store, runs = scene.store, scene.view.runs
    st.markdown("**The report**")
    _button("Report (HTML)", lambda: html_report(store, runs, wishes), "report.html", "text/html", "description")
    _button("For programs (JSON)", lambda: json_report(store, runs, wishes), "report.json", JSON, "data_object")
    st.markdown("**The data of these runs**")
    _button("CSV (zip)", lambda: csv_zip(store, runs), "csv.zip", ZIP, "table_rows")
    _button("Parquet (zip)", lambda: parquet_zip(store, runs), "parquet.zip", ZIP, "inventory_2")
    st.caption(f"Parquet is what **depthscope import** reads. {PICTURES}")


def _button(words: str, make: Callable[[], bytes], file: str, kind: str, icon: str) -> None:
    st.download_button(words, make, f"depthscope-{file}", kind, icon=f":material/{icon}:", width="stretch")


REPORT = Page("report", "Report", ":material/description:", report)
