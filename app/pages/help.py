"""What everything on the other pages means: pages, layers and sites, metrics, findings, keyboard."""

import pandas as pd
import streamlit as st

from ..findings import FINDINGS, THRESHOLDS
from ..scene import Scene
from ..text import SITES, markdown
from ..view import View, to_params
from .page import Page

__all__ = ["HELP"]

QUESTIONS = {
    "overview": "What is wrong, and where is the evidence?",
    "runs": "Which runs are there, how far are they, which went wrong?",
    "depth": "How does a metric change from the first block to the last?",
    "heatmap": "In which layer did it start, and at which step?",
    "massive": "Do a few channels and tokens carry the largest activations?",
    "effectiveness": "Which layers does the model need, and how many could go?",
    "sparsity": "How many weights are needed, and where are the others?",
    "compare": "Which norm strategy does better, and is the comparison fair?",
    "live": "How far are the trainings, how fast, and does anything go wrong right now?",
    "report": "How do I take all this to a design review or a paper?",
}
LAYERS = (
    "**Layer 0** is the stream as it enters block 1 (the embeddings); **layers 1 to L** are the blocks, the deepest on "
    "top as the network is drawn. **Step k** is the forward and backward pass on weights after k updates; step 0 is "
    "the initialisation. **Training batches** are what the model trains on; the **probe batch** is one held-out batch "
    "in evaluation mode, the same at every step, which makes runs comparable."
)
KEYS = (
    ("Tab, Shift Tab", "to the next or previous control"),
    ("Enter, Space", "open a list, follow a link, press a button"),
    ("Arrow keys", "move along a slider or a list"),
    ("Plus and minus, above a chart", "zoom in and out; a double click shows all again"),
    ("Esc", "close a list or the full-screen view of a chart"),
    ("Data, below a chart", "the numbers as a table, which the keyboard reaches point by point"),
)
LINKS = (
    "The address of a page holds the whole view: runs, metric, layers, step, axes. Copy it to show someone else the "
    "same picture; Back returns to the view before."
)
ZOOM = (
    "A line has at most 1,000 points: many steps share one and keep their smallest and largest value. Drag over a "
    "stretch of the training and every chart over training asks for it again in finer steps; a double click shows all."
)


def help_page(scene: Scene) -> View:
    """One section a question; nothing here depends on the runs on screen."""
    st.subheader("The pages", anchor=False)
    for name, question in QUESTIONS.items():
        if name in scene.addresses:
            place, words = st.columns([3, 8], vertical_alignment="center")
            place.page_link(scene.addresses[name], query_params=to_params(scene.view))
            words.markdown(question)
    st.caption(LINKS)
    st.caption(ZOOM)
    st.subheader("Layers, steps and batches", anchor=False)
    st.markdown(LAYERS)
    _table(pd.DataFrame({"Site": [markdown(s) for s in SITES], "What it is": list(SITES.values())}))
    st.subheader("Metrics", anchor=False)
    _metrics(scene.metrics())
    st.subheader("Findings", anchor=False)
    _table(_findings())
    st.subheader("Keyboard", anchor=False)
    _table(pd.DataFrame(KEYS, columns=["Key", "What it does"]))
    return scene.view


def _metrics(metrics: pd.DataFrame) -> None:
    if metrics.empty:
        st.caption("No run of this store has described a metric yet.")
        return
    columns = {"title": "Metric", "name": "Column", "formula": "Formula", "unit": "Unit", "source": "Source"}
    shown = metrics.sort_values("title", key=lambda titles: titles.str.casefold())[list(columns)]
    _table(shown.map(_cell).rename(columns=columns))


def _cell(value: object) -> str:
    return markdown(value, 400) if isinstance(value, str) and value else "–"


def _findings() -> pd.DataFrame:
    rows = [
        (markdown(check.title), markdown(check.about), markdown(check.rule(THRESHOLDS), 600), markdown(check.source))
        for check in FINDINGS.values()
    ]
    return pd.DataFrame(rows, columns=["Finding", "Question", "Rule", "Source"])


def _table(frame: pd.DataFrame) -> None:
    """A table of text that wraps; its cells are Markdown: whatever is not ours must be escaped before."""
    st.table(frame, border="horizontal", hide_index=True, alt=f"{frame.columns[0]}: what it means")


HELP = Page("help", "Help", ":material/help:", help_page)
