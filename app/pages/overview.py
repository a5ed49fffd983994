"""The first page: what is wrong, in sentences that lead to their evidence; then loss and three instruments."""

import streamlit as st

from ..chart import chart
from ..figures import FIGURES
from ..finding_list import finding_list
from ..scene import Scene
from ..view import View
from .page import Page

__all__ = ["OVERVIEW"]


def overview(scene: Scene) -> View:
    """Findings, loss, then variance, gradients and block influence over depth, of the runs on screen."""
    if not scene.view.runs:
        st.info("Choose runs in the sidebar.")
        return scene.view
    st.subheader("Findings", anchor=False)
    told = st.container()
    chart(scene, FIGURES["loss"], scene.view)
    chart(scene, FIGURES["strategy_profiles"], scene.view, title="Variance, gradients and block influence by depth")
    with told, st.spinner("Looking at the runs …"):  # the diagnoses read most of a run: the charts need not wait
        finding_list(scene, scene.findings())
    return scene.view


OVERVIEW = Page("overview", "Overview", ":material/monitor_heart:", overview)
