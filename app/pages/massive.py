"""Massive activations: how large, in which layers, and whether the same channels and tokens carry them throughout."""

from dataclasses import replace

import streamlit as st

from ..chart import chart
from ..controls import stack_control, step_control
from ..figures import FIGURES
from ..persistence import TITLES, persistence
from ..scene import Scene
from ..text import labels, phase_words
from ..view import View
from ..widgets import pick
from .page import Page

__all__ = ["MASSIVE"]

ABOUT = (
    "How often a place is among the three largest activations of a block, over all sampled steps. A place that stays "
    "is a property of the model; one that wanders is noise. Tokens are counted from 0."
)
COLUMNS = {
    "Share of steps": st.column_config.ProgressColumn(
        "Steps", help="Share of the sampled steps", format="%.0f%%", min_value=0.0, max_value=100.0, width=84
    ),
    "Largest": st.column_config.NumberColumn(format="%.4g", help="Largest magnitude met in any block at any step"),
    "Last at step": st.column_config.NumberColumn("Last", help="Step of the last one", format="localized", width=56),
}


def massive(scene: Scene) -> View:
    """Magnitude, median and ratio of every run by layer, then the places of one run."""
    if not scene.view.runs:
        st.info("Choose a run in the sidebar.")
        return scene.view
    with st.columns([2, 3])[0]:
        view = step_control(scene, stack_control(scene, scene.view), scene.view.runs)
    chart(scene, FIGURES["massive"], view, title="Magnitude, median and ratio by layer")
    return _places(scene, view)


def _places(scene: Scene, view: View) -> View:
    st.subheader("Channels and tokens that persist", anchor=False)
    with st.columns([2, 3])[0]:
        run = pick("run", "Run", labels(view.runs), view.focus)
    view = replace(view, run=run)
    places = scene.places(view)
    if places.empty:
        st.caption("This run has no massive-activation rows yet.")
    else:
        st.caption(f"{ABOUT} Measured on {phase_words(places['phase'].iloc[0])}.")
        for place, kind in zip(st.columns(2, gap="medium"), TITLES, strict=True):
            with place:
                alt = f"{TITLES[kind]}: how steadily it is among the largest activations"
                st.dataframe(persistence(places, kind), hide_index=True, column_config=COLUMNS, alt=alt)
    return replace(view, run="" if run == view.runs[0] else run)


MASSIVE = Page("massive", "Massive activations", ":material/equalizer:", massive)
