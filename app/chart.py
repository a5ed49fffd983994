"""A figure on a page: heading, picture, what to look for, the numbers behind it.

A figure over training that is zoomed into asks for that stretch alone, which then comes in finer buckets. The stretch
is part of the view: the other figures over training follow, and the address holds it.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from .controls import sampled
from .csv_button import csv_button
from .figures import AnyFigure, Figure
from .figures.heat import Heat
from .plot import Plot, Told, plot
from .scene import Scene
from .stretch import choose_stretch
from .text import markdown
from .view import View, to_params

__all__ = ["chart", "clickable_heat", "data"]

Clicked = Callable[[int, int, bool], None]

ZOOM = "zoom"
"""A figure that reads this field of the view is one over training."""
MEANING = ("metric", "site", "x", "scale", "depth", "pruning", "level")
"""Fields of the view that say what the axes mean; the others say what is drawn on them, and leave a zoom alone."""
READ_BY_ALL = ("scale", "depth")


def chart(scene: Scene, figure: AnyFigure, view: View, title: str | None = None) -> None:
    """Draw `figure` of `view`, its caption below. The zoom lasts while the axes mean the same."""
    _show(scene, figure, scene.record(figure, view), view, title)


def _show(
    scene: Scene, figure: AnyFigure, record: Any, view: View, title: str | None, on_click: Told | None = None
) -> None:
    drawn = figure.draw(record, scene.theme)
    st.subheader(title or figure.title, anchor=False)
    divisor = None
    if ZOOM in figure.reads:
        divisor = float(record.divisor)
        drawn.update_xaxes(**_range(drawn, record, view))
    axes = view.keep([*(name for name in MEANING if name in figure.reads), *READ_BY_ALL])
    height = int(drawn.layout.height or scene.theme.template.layout.height)
    shown = Plot(figure.name, drawn, figure.alt(record), str(to_params(axes)), height, divisor)
    plot(shown, choose_stretch if divisor else None, on_click)
    if not record.empty:
        st.caption(f"{figure.caption} {markdown(record.note, 500)}".strip())
        data(figure.name, lambda: figure.table(record))


def _range(drawn: go.Figure, record: Any, view: View) -> dict[str, object]:
    """Plotly's settings of the horizontal axis. All of them are told: what an update leaves out stays as it was.

    Another stretch is another uirevision: it wins over what the reader last did to the axis.
    """
    told = {"uirevision": f"{view.x} {view.zoom}"}
    if view.zoom and not record.empty:
        return {**told, "range": [end / record.divisor for end in view.zoom], "autorange": False}
    return {**told, "autorange": drawn.layout.xaxis.range is None}


def clickable_heat(scene: Scene, figure: Figure[Heat], view: View, title: str, on_click: Clicked) -> None:
    """`chart` of a heatmap that calls `on_click(step, layer, whether it is the newest)` for the cell that is picked."""
    record = scene.record(figure, view)
    newest = max([*sampled(scene, view, (view.focus,)), *record.steps], default=0)

    def clicked(place: tuple[float, ...]) -> None:
        x, layer = place
        nearest = min(range(len(record.x)), key=lambda n: abs(record.x[n] - x))
        step = record.steps[nearest]
        on_click(step, int(layer), step >= newest)

    _show(scene, figure, record, view, title, None if record.empty else clicked)


def data(name: str, table: Callable[[], pd.DataFrame]) -> None:
    """The numbers in a closed drawer, made only when it is opened, with a CSV to take away."""
    drawer = st.expander("Data", key=f"data-{name}", on_change="rerun", icon=":material/table_rows:")
    if not drawer.open:
        return
    with drawer:
        frame = table()
        st.dataframe(frame, hide_index=True, height=280, alt=f"The numbers of the figure {name}")
        csv_button(name, frame)
