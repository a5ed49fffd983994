"""One metric of one run over layers and steps; below, the two cuts: some layers over time, the depth at one step."""

from dataclasses import replace

import streamlit as st

from ..chart import chart
from ..controls import metric_controls, metric_heading, step_control
from ..definitions import definition
from ..figures import FIGURES
from ..scene import Scene
from ..text import labels
from ..view import View
from ..widgets import pick, remember
from .page import Page

__all__ = ["HEATMAP"]


def heatmap(scene: Scene) -> View:
    """Heatmap, then the two cuts through it."""
    if not scene.view.runs:
        st.info("Choose a run in the sidebar.")
        return scene.view
    left, right = st.columns([2, 3], gap="medium")
    with left:
        run = pick("run", "Run", labels(scene.view.runs), scene.view.focus)
    with right:
        view = metric_controls(scene, replace(scene.view, run=run))
    definition(scene.metrics(), view.metric)
    heat = st.container()
    left, right = st.columns(2, gap="medium")
    with left:
        view = _layers(scene, view)
    with right:
        view = step_control(scene, view, (run,))
    with heat:
        chart(scene, FIGURES["layer_step"], view, title=metric_heading(scene, view))
    with left:
        chart(scene, FIGURES["layer_series"], view)
    with right:
        at = replace(view, runs=(run,), phase="train" if view.phase == "auto" else view.phase, depth="layer")
        chart(scene, FIGURES["depth_profile"], at, title="Depth at the chosen step")
    return replace(view, run="" if run == view.runs[0] else run)


def _layers(scene: Scene, view: View) -> View:
    """Which layers to follow; none chosen: a spread over the depth."""
    depth = int(scene.shown["n_layers"].fillna(0).max())
    known = list(range(depth + 1))
    key = remember("layers", [n for n in view.layers if n in known], lambda value: set(value) <= set(known))
    chosen = st.multiselect("Layers", known, key=key, placeholder="A spread over the depth")
    return replace(view, layers=tuple(sorted(chosen)))


HEATMAP = Page("heatmap", "Layer × step", ":material/grid_on:", heatmap)
