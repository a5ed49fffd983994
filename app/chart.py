"""A figure on a page: heading, picture, what to look for, the numbers behind it."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from .figures import AnyFigure
from .scene import Scene
from .text import file_name, markdown, plain
from .view import View

__all__ = ["chart", "data"]

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def chart(scene: Scene, figure: AnyFigure, view: View, title: str | None = None) -> None:
    """Draw `figure` of `view`, its caption below. Zoom lasts until the numbers change."""
    record = scene.record(figure, view)
    st.subheader(title or figure.title, anchor=False)
    image = {"format": "svg", "filename": file_name(f"depthscope {figure.name}", "")}
    st.plotly_chart(
        figure.draw(record, scene.theme),
        theme=None,
        key=f"chart-{figure.name}",
        alt=plain(figure.alt(record)),
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
