"""A figure on a page: heading, picture, what to look for, the numbers behind it."""

from collections.abc import Callable
from typing import Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from .figures import AnyFigure, Drawn, Figure
from .figures.heat import Heat, add_targets
from .scene import Scene
from .text import file_name, markdown, plain
from .view import View

__all__ = ["chart", "clickable_heat", "data"]

Clicked = Callable[[int, int, bool], None]

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def chart(scene: Scene, figure: AnyFigure, view: View, title: str | None = None) -> None:
    """Draw `figure` of `view`, its caption below. Zoom lasts until the numbers change."""
    record = scene.record(figure, view)
    drawn = figure.draw(record, scene.theme)
    _show(figure, record, drawn, title, on_select="ignore")


def clickable_heat(scene: Scene, figure: Figure[Heat], view: View, title: str, on_click: Clicked) -> None:
    """`chart` of a heatmap that calls `on_click(step, layer, whether it is the newest)` for the cell that is picked."""
    record = scene.record(figure, view)
    drawn = figure.draw(record, scene.theme)
    if record.empty:
        _show(figure, record, drawn, title, on_select="ignore")
        return
    add_targets(drawn, record)
    newest = record.steps[-1]

    def clicked() -> None:
        points = st.session_state[f"chart-{figure.name}"]["selection"]["points"]
        if points:
            x, layer = float(points[0]["x"]), int(points[0]["y"])
            nearest = min(range(len(record.x)), key=lambda n: abs(record.x[n] - x))
            step = record.steps[nearest]
            on_click(step, layer, step >= newest)

    _show(figure, record, drawn, title, on_select=clicked)


def _show(
    figure: AnyFigure,
    record: Drawn,
    drawn: go.Figure,
    title: str | None,
    on_select: Literal["ignore"] | Callable[[], None],
) -> None:
    st.subheader(title or figure.title, anchor=False)
    image = {"format": "svg", "filename": file_name(f"depthscope {figure.name}", "")}
    st.plotly_chart(
        drawn,
        theme=None,
        key=f"chart-{figure.name}",
        alt=plain(figure.alt(record)),
        on_select=on_select,
        selection_mode="points",
        config={**CONFIG, "toImageButtonOptions": image},
    )
    if not record.empty:
        st.caption(f"{figure.caption} {markdown(record.note, 500)}".strip())
        data(figure.name, lambda: figure.table(record))


def data(name: str, table: Callable[[], pd.DataFrame]) -> None:
    """The numbers in a closed drawer, made only when it is opened, with a CSV to take away."""
    drawer = st.expander("Data", key=f"data-{name}", on_change="rerun", icon=":material/table_rows:")
    if not drawer.open:
        return
    with drawer:
        frame = table()
        st.dataframe(frame, hide_index=True, height=280, alt=f"The numbers of the figure {name}")
        st.download_button(
            "Download CSV",
            lambda: frame.to_csv(index=False).encode("utf-8", "replace"),
            file_name=file_name(f"depthscope {name}", ".csv"),
            mime="text/csv",
            key=f"csv-{name}",
            icon=":material/download:",
        )
