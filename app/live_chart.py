"""A figure that is updated in place and keeps its zoom, for pages that are redrawn every few seconds."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from .chart import data
from .figures import AnyFigure
from .scene import Scene
from .text import file_name, markdown, plain
from .view import View, to_params

__all__ = ["LIBRARY", "LIBRARY_PATH", "live_chart"]

LIBRARY = Path(__file__).with_name("report") / "plotly-cartesian.min.js"
LIBRARY_PATH = "/depthscope/plotly.js"
"""Where the server hands out LIBRARY: Streamlit's own copy cannot be reached from a component."""

DATA = ("runs", "run", "layers")
"""Fields of the view that say which lines there are; the others say what the axes mean, and end a zoom."""

_PARTS = {
    "html": '<figure class="live-figure"><div class="live-plot"></div></figure>',
    "css": ".live-figure { margin: 0; } .live-plot { width: 100%; }",
    "js": Path(__file__).with_name("live_chart.js").read_text(encoding="utf-8"),
}


def live_chart(scene: Scene, figure: AnyFigure, view: View, title: str | None = None) -> None:
    """Draw `figure` of `view` with its caption and data. The zoom lasts while the axes mean the same."""
    record = scene.record(figure, view)
    drawn = figure.draw(record, scene.theme)
    st.subheader(title or figure.title, anchor=False)
    axes = view.keep([*(name for name in figure.reads if name not in DATA), "scale", "depth"])
    drawn.update_layout(uirevision=_digest(str(to_params(axes))), autosize=True)
    spec = str(drawn.to_json(engine="json", remove_uids=True))
    _mount(
        figure.name,
        {
            "spec": spec,
            "revision": _digest(spec),
            "alt": plain(figure.alt(record)),
            "height": int(drawn.layout.height or scene.theme.template.layout.height),
            "file": file_name(f"depthscope {figure.name}", ""),
        },
    )
    if not record.empty:
        st.caption(f"{figure.caption} {markdown(record.note, 500)}".strip())
        data(figure.name, lambda: figure.table(record))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _mount(name: str, content: Mapping[str, Any]) -> None:
    component = st.components.v2.component("depthscope_live_chart", **_PARTS, isolate_styles=False)
    component(key=f"live-{name}", data=dict(content))
