"""One metric against depth, one line per run, at any sampled step."""

from dataclasses import replace

import streamlit as st

from ..chart import chart
from ..controls import metric_controls, metric_heading
from ..definitions import definition
from ..figures import FIGURES
from ..play import played_step_control
from ..scene import Scene
from ..style import CONTROLS
from ..view import DEPTHS, View
from ..widgets import choice
from .page import Page

__all__ = ["DEPTH"]


def depth(scene: Scene) -> View:
    """The profile of the chosen metric; of the stream's size also what theory says of it at initialisation."""
    controls, place = st.container(key=CONTROLS).columns([5, 6], gap="medium")
    slider, axis = place.columns([4, 2], gap="medium")
    with controls:
        view = metric_controls(scene, scene.view)
    with slider:
        view = played_step_control(scene, view, view.runs)
    with axis:
        view = replace(view, depth=choice("depth", "Depth", DEPTHS, view.depth))
    definition(scene.metrics(), view.metric)
    chart(scene, FIGURES["depth_profile"], view, title=metric_heading(scene, view))
    if scene.record(FIGURES["depth_profile"], view).back:
        chart(scene, FIGURES["depth_grid"], view)
    if (view.metric, view.site) in (("mean_square", "resid_post"), ("variance", "resid_post")):
        chart(scene, FIGURES["init_theory"], view)
    return view


DEPTH = Page("depth", "Depth profile", ":material/stacked_line_chart:", depth)
