"""The stretch of the training that the figures over it show: what a zoom chose, and the way back to all of it."""

import math
from dataclasses import replace

import streamlit as st

from .figures.axes import horizontal
from .url import WIDGET
from .view import View
from .widgets import remember

__all__ = ["choose_stretch", "rounded", "stretch_control", "stretch_words"]

ZOOM = f"{WIDGET}zoom"
"""Session key of the stretch."""
FINEST = 2
"""A stretch is told to 10 ** -FINEST of its length: the pointer is no finer, and addresses stay short."""


def choose_stretch(ends: tuple[float, ...]) -> None:
    """What the next run of the page shows: from and to on the horizontal axis, () for all."""
    st.session_state[ZOOM] = rounded(ends) if len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf else ()


def rounded(ends: tuple[float, ...]) -> tuple[float, ...]:
    """The ends in few digits, outwards."""
    first, last = ends
    digits = FINEST - math.floor(math.log10(last - first))
    unit = 10.0**-digits
    return round(math.floor(first / unit) * unit, digits), round(math.ceil(last / unit) * unit, digits)


def stretch_control(view: View, x: str) -> View:
    """The view with the stretch that was zoomed into; in the sidebar a way back to all of it, also for the keyboard.

    `x`: the axis that the stretch was chosen on. On another it means nothing.
    """
    if view.x != x:
        st.session_state[ZOOM] = ()
    _, ends = remember("zoom", view.zoom, lambda ends: len(ends) in (0, 2))
    if ends:
        with st.sidebar:
            st.caption(stretch_words(view.x, ends))
            st.button("Show all of it", key="all", icon=":material/zoom_out_map:", on_click=choose_stretch, args=((),))
    return replace(view, zoom=ends)


def stretch_words(x: str, ends: tuple[float, ...]) -> str:
    """'Zoomed into: optimizer step 1,000 to 2,000.'"""
    axis = horizontal(x, ends[1])
    first, last = (f"{end / axis.divisor:,.10g}" for end in ends)
    return f"Zoomed into: {axis.title.lower()} {first} to {last}."
