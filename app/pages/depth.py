"""One metric against depth, one line per run, at any sampled step."""

import streamlit as st

from ..chart import chart
from ..controls import metric_controls, metric_heading, step_control
from ..definitions import definition
from ..figures import FIGURES
from ..scene import Scene
from ..view import View
from .page import Page

__all__ = ["DEPTH"]


def depth(scene: Scene) -> View:
    """The profile of the chosen metric."""
    controls, slider = st.columns([3, 2], gap="medium")
    with controls:
        view = metric_controls(scene, scene.view)
    with slider:
        view = step_control(scene, view, view.runs)
    definition(scene.metrics(), view.metric)
    chart(scene, FIGURES["depth_profile"], view, title=metric_heading(scene, view))
    return view


DEPTH = Page("depth", "Depth profile", ":material/stacked_line_chart:", depth)
