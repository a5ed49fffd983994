"""How many weights are needed: held-out loss of pruned weights, its control, and where the weights go."""

from dataclasses import replace

import streamlit as st

from ..chart import chart
from ..controls import evaluation_control, stack_control
from ..figures import FIGURES, TABLES
from ..figures.pruned_shares import levels
from ..figures.sparsity_frames import curve_words
from ..not_measured import not_measured
from ..scene import Scene
from ..summary_view import summary_view
from ..text import labels
from ..view import View
from ..widgets import pick
from .page import Page

__all__ = ["SPARSITY"]

QUESTION = "How many weights can be set to zero before the held-out loss drops?"


def sparsity(scene: Scene) -> View:
    """Curves of all runs with their dropping points, then one run in detail; how to measure it where nothing was."""
    if not scene.view.runs:
        st.info("Choose a run in the sidebar.")
        return scene.view
    if scene.evaluated("masks"):
        chart(scene, FIGURES["masks"], scene.view)
    if not scene.evaluated("sparsity"):
        not_measured(QUESTION, "sparsity")
        return scene.view
    left, right = st.columns(2, gap="medium")
    with left:
        view = evaluation_control(scene, stack_control(scene, scene.view), "sparsity")
    with right:
        view = _pruning(scene, view)
    chart(scene, FIGURES["sparsity_curve"], view)
    summary_view(scene, TABLES["dropping_points"], view, "No curve was measured up to this step.")
    chart(scene, FIGURES["sparsity_patterns"], view)
    st.divider()
    return _one_run(scene, view)


def _pruning(scene: Scene, view: View) -> View:
    """Which weights go first; only what some run was measured by is on offer."""
    choices = scene.record(FIGURES["sparsity_curve"], view).choices
    if not choices:
        return view
    shown = labels([curve_words(key) for key in choices], 60)
    options = dict(zip(choices, shown.values(), strict=True))
    return replace(view, pruning=pick("pruning", "Weights that go first: the smallest by", options, view.pruning))


def _one_run(scene: Scene, view: View) -> View:
    left, right = st.columns(2, gap="medium")
    with left:
        run = pick("run", "Run in detail", labels(view.runs), view.focus)
    view = replace(view, run=run)
    with right:
        found = levels(scene.frame(FIGURES["pruned_shares"], view))
        if len(found) > 1:
            usual = min(found, key=lambda n: abs(n - (50 if view.level is None else view.level)))
            view = replace(view, level=pick("level", "Weights pruned together", {n: f"{n} %" for n in found}, usual))
    chart(scene, FIGURES["pruned_shares"], view)
    chart(scene, FIGURES["near_zero"], view)
    level = None if view.level == 50 else view.level
    return replace(view, run="" if run == view.runs[0] else run, level=level)


SPARSITY = Page("sparsity", "Sparsity", ":material/scatter_plot:", sparsity)
