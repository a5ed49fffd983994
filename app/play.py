"""Playing the steps: the slider moves on by itself, once a second, and stops at the newest step."""

import time
from collections.abc import Sequence

import streamlit as st

from .controls import sampled, step_control
from .scene import Scene
from .url import WIDGET
from .view import View

__all__ = ["next_stop", "played_step_control"]

SECONDS = 1.0
FRAMES = 40
"""A whole training plays in at most about this many frames."""


def played_step_control(scene: Scene, view: View, runs: tuple[str, ...]) -> View:
    """The step slider with a switch beside it that plays the steps from the chosen one (from the first, at the end)."""
    steps = sampled(scene, view, runs)
    if st.session_state.pop("_tick", False):
        stop = next_stop(steps, st.session_state.get(f"{WIDGET}step"))
        st.session_state[f"{WIDGET}step"] = stop
        st.session_state["play"] = stop is not None
    view = step_control(scene, view, runs)
    if len(steps) > 1 and st.toggle("Play the steps", key="play"):
        _wait()
    return view


def next_stop(steps: Sequence[int], now: int | None) -> int | None:
    """The stop after `now`; None is the newest, which is both the end and, when play starts there, the beginning."""
    if now is None:
        return steps[0]
    stride = max(1, len(steps) // FRAMES)
    later = [step for step in steps if step > now][stride - 1 : -1]
    return later[0] if later else None


def _wait() -> None:
    drawn = time.monotonic()

    @st.fragment(run_every=SECONDS)
    def tick() -> None:
        if time.monotonic() - drawn > SECONDS / 2:  # the first call is part of drawing the page
            st.session_state["_tick"] = True
            st.rerun()

    tick()
