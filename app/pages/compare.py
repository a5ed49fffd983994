"""Norm strategies side by side: loss, depth profiles, and the numbers that tell them apart."""

import streamlit as st

from ..baseline import baseline_view, configuration_view
from ..chart import chart
from ..controls import step_control
from ..figures import FIGURES, TABLES, comparison_caveats
from ..scene import Scene
from ..summary_view import summary_view
from ..view import View
from .page import Page

__all__ = ["COMPARE"]


def compare(scene: Scene) -> View:
    """What stands in the way of the comparison first, then the pictures, then the table."""
    caveats = comparison_caveats(scene.shown)
    if caveats:
        st.warning("  \n".join(caveats), icon=":material/balance:")
    summary = TABLES["summary"]
    repeated = scene.shown["strategy"].duplicated().any()  # several seeds of one strategy
    chart(scene, FIGURES["seed_groups" if repeated else "loss"], scene.view)
    with st.columns([2, 3])[0]:
        view = step_control(scene, scene.view, scene.view.runs)
    chart(scene, FIGURES["strategy_profiles"], view)
    summary_view(scene, summary, view)
    view = baseline_view(scene, view)
    configuration_view(scene.shown)
    return view


COMPARE = Page("compare", "Compare", ":material/compare_arrows:", compare)
