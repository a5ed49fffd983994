"""One metric of one run over layers and steps; below, the two cuts: some layers over time, the depth at one step."""

from dataclasses import replace

import streamlit as st

from ..chart import chart, clickable_heat
from ..controls import metric_controls, metric_heading, step_control
from ..definitions import definition
from ..figures import FIGURES
from ..scene import Scene
from ..style import CONTROLS, PAIR
from ..text import labels
from ..url import WIDGET
from ..view import View
from ..widgets import pick, remember
from .page import Page

__all__ = ["HEATMAP"]


def heatmap(scene: Scene) -> View:
    """Heatmap, then the two cuts through it."""
    if not scene.view.runs:
        st.info("Choose a run in the sidebar.")
        return scene.view
    left, right = st.container(key=CONTROLS).columns([2, 3], gap="medium")
    with left:
        run = pick("run", "Run", labels(scene.view.runs), scene.view.focus)
    with right:
        view = metric_controls(scene, replace(scene.view, run=run))
    definition(scene.metrics(), view.metric)
    heat = st.container()
    left, right = st.container(key=PAIR).columns(2, gap="medium")
    with left:
        view = _layers(scene, view)
    with right:
        view = step_control(scene, view, (run,))
    with heat:
        clickable_heat(scene, FIGURES["layer_step"], view, metric_heading(scene, view), _clicked)
        st.caption("Click a cell to see its layer over time and the whole depth at its step.")
    with left:
        chart(scene, FIGURES["layer_series"], view)
    with right:
        at = replace(view, runs=(run,), phase="train" if view.phase == "auto" else view.phase, depth="layer")
        chart(scene, FIGURES["depth_profile"], at, title="Depth at the chosen step")
    return replace(view, run="" if run == view.runs[0] else run)


def _clicked(step: int, layer: int, newest: bool) -> None:
    st.session_state[f"{WIDGET}step"] = None if newest else step
    st.session_state[f"{WIDGET}layers"] = [layer]


def _layers(scene: Scene, view: View) -> View:
    """Which layers to follow; none chosen: a spread over the depth."""
    depth = int(scene.shown["n_layers"].fillna(0).max())
    known = list(range(depth + 1))
    key, now = remember("layers", [n for n in view.layers if n in known], lambda value: set(value) <= set(known))
    chosen = st.multiselect("Layers", known, now, key=key, placeholder="A spread over the depth")
    return replace(view, layers=tuple(sorted(chosen)))


HEATMAP = Page("heatmap", "Layer × step", ":material/grid_on:", heatmap)
