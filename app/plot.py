"""A plotly figure on a page that is updated in place: it keeps its zoom, and tells which stretch of it is shown.

Streamlit's own chart is a new one at every change, which ends its zoom, and cannot tell a click on a heatmap.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from .text import file_name, plain

__all__ = ["LIBRARY", "LIBRARY_PATH", "Plot", "plot"]

LIBRARY = Path(__file__).with_name("report") / "plotly-cartesian.min.js"
LIBRARY_PATH = "/depthscope/plotly.js"
"""Where the server hands out LIBRARY: Streamlit's own copy cannot be reached from a component."""

_PARTS = {
    "html": '<figure class="depthscope-figure"><div class="depthscope-plot"></div></figure>',
    "css": ".depthscope-figure { margin: 0; } .depthscope-plot { width: 100%; }",
    "js": Path(__file__).with_name("plot.js").read_text(encoding="utf-8"),
}

Told = Callable[[tuple[float, ...]], None]


@dataclass(frozen=True)
class Plot:
    """A figure as the browser gets it."""

    name: str
    figure: go.Figure
    alt: str
    axes: str
    """What the axes mean: while it stays the same, the zoom does."""
    height: int
    divisor: float | None = None
    """What one unit of the horizontal axis is worth in `on_zoom`; None: no zoom is told."""


def plot(shown: Plot, on_zoom: Told | None = None, on_click: Told | None = None) -> None:
    """Draw it. `on_zoom(ends)` is told the stretch that the reader chose, () for all; `on_click(x, y)` of a heatmap's
    cell."""
    shown.figure.update_layout(uirevision=_digest(shown.axes), autosize=True)
    spec = str(shown.figure.to_json(engine="json", remove_uids=True))
    key = f"chart-{shown.name}"
    content = {
        "spec": spec,
        "revision": _digest(spec),
        "alt": plain(shown.alt),
        "height": shown.height,
        "file": file_name(f"depthscope {shown.name}", ""),
        "divisor": shown.divisor,
        "clickable": on_click is not None,
    }
    _mount(key, content, {"zoom": on_zoom, "click": on_click})


def _mount(key: str, content: Mapping[str, Any], told: Mapping[str, Told | None]) -> None:
    component = st.components.v2.component("depthscope_plot", **_PARTS, isolate_styles=False)
    calls: dict[str, Any] = {f"on_{name}_change": _passing(key, name, call) for name, call in told.items() if call}
    component(key=key, data=dict(content), **calls)


def _passing(key: str, name: str, call: Told) -> Callable[[], None]:
    """The callback that Streamlit wants, which takes nothing."""

    def passed() -> None:
        ends = st.session_state[key][name]
        if ends is not None:
            call(tuple(float(end) for end in ends))

    return passed


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
