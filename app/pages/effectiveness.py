"""Which layers do work: held-out loss with blocks skipped, repeated, zeroed or removed together."""

from dataclasses import replace

import streamlit as st

from ..chart import chart
from ..controls import evaluation_control, stack_control
from ..figures import FIGURES, TABLES
from ..not_measured import not_measured
from ..scene import Scene
from ..summary_view import summary_view
from ..text import labels
from ..view import View
from ..widgets import pick
from .page import Page

__all__ = ["EFFECTIVENESS"]

QUESTION = "Which blocks does the model need? The answer is the held-out loss without them."
ONE_RUN = ("layer_cost", "spans", "pruning_curve", "later_effects")


def effectiveness(scene: Scene) -> View:
    """All runs first, then one run in detail; how to measure it where nothing was."""
    if not scene.view.runs:
        st.info("Choose a run in the sidebar.")
        return scene.view
    if not scene.evaluated("interventions"):
        not_measured(QUESTION, "skip")
        return scene.view
    with st.columns([2, 3])[0]:
        view = evaluation_control(scene, stack_control(scene, scene.view), "interventions")
    chart(scene, FIGURES["skip_cost"], view)
    chart(scene, FIGURES["layer_measures"], view)
    summary_view(scene, TABLES["effectiveness"], view, "No summary was measured up to this step.")
    st.divider()
    with st.columns([2, 3])[0]:
        run = pick("run", "Run in detail", labels(view.runs), view.focus)
    view = replace(view, run=run)
    for name in ONE_RUN:
        chart(scene, FIGURES[name], view)
    if len(scene.evaluated("interventions")) > 1:
        chart(scene, FIGURES["skip_over_time"], view)
    return replace(view, run="" if run == view.runs[0] else run)


EFFECTIVENESS = Page("effectiveness", "Effectiveness", ":material/layers:", effectiveness)
