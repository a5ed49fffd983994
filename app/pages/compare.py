"""Norm strategies side by side: loss, depth profiles, and the numbers that tell them apart."""

from dataclasses import replace

import streamlit as st

from ..baseline import baseline_view, configuration_view
from ..chart import chart
from ..controls import metric_controls, metric_heading, step_control
from ..figures import FIGURES, TABLES, comparison_caveats
from ..figures.difference import baseline_of
from ..group_view import group_control, group_view
from ..grouping import groups_of
from ..scene import Scene
from ..style import CONTROLS
from ..summary_view import summary_view
from ..text import labels
from ..view import View
from ..widgets import pick
from .page import Page

__all__ = ["COMPARE"]


def compare(scene: Scene) -> View:
    """What stands in the way of the comparison first, then the pictures, then the table."""
    caveats = comparison_caveats(scene.shown)
    if caveats:
        st.warning("  \n".join(caveats), icon=":material/balance:")
    summary = TABLES["summary"]
    with st.columns([2, 3])[0]:
        view = replace(scene.view, group=group_control(scene.shown, scene.view))
    repeated = len(set(groups_of(scene.shown, view.group).values())) < len(scene.shown)
    chart(scene, FIGURES["seed_groups" if repeated else "loss"], view)
    if repeated:
        group_view(scene.shown, view.group)
    with st.columns([2, 3])[0]:
        view = step_control(scene, view, view.runs)
    chart(scene, FIGURES["strategy_profiles"], view)
    if scene.record(FIGURES["depth_profile"], view).back:
        chart(scene, FIGURES["depth_grid"], view, metric_heading(scene, view))
    summary_view(scene, summary, view)
    view = baseline_view(scene, view)
    if len(view.runs) > 1:
        view = _difference(scene, view)
    configuration_view(scene.shown)
    return view


def _difference(scene: Scene, view: View) -> View:
    """One run against the baseline over layers and steps."""
    left, right = st.container(key=CONTROLS).columns([2, 3], gap="medium")
    base = baseline_of(view)
    with left:
        others = [run for run in view.runs if run != base]
        run = pick("run", "Run to hold against the baseline", labels(others), view.focus)
    with right:
        view = metric_controls(scene, replace(view, run=run))
    chart(scene, FIGURES["difference"], view)
    return replace(view, run="" if run == others[0] else run)


COMPARE = Page("compare", "Compare", ":material/compare_arrows:", compare)
