"""What is being trained now: how far, how fast, and the charts that tell first when something goes wrong."""

import streamlit as st

from ..chart import chart
from ..columns import fitted
from ..controls import metric_controls, metric_heading
from ..figures import FIGURES
from ..listing import strategy_cell
from ..live_table import live_table
from ..scene import Scene
from ..style import PAIR
from ..view import View
from .page import Page

__all__ = ["LIVE"]

COLUMNS = {
    "Progress": st.column_config.ProgressColumn(format="%.0f%%", min_value=0.0, max_value=100.0, width=96),
    "Step": st.column_config.NumberColumn(format="localized"),
    "Loss": st.column_config.NumberColumn(format="%.4f"),
    "Steps/s": st.column_config.NumberColumn(format="%.3g", help="Over the newest 50 steps"),
    "Tokens/s": st.column_config.NumberColumn(format="compact", help="Over the newest 50 steps"),
    "Left": st.column_config.TextColumn(help="At this pace, where the run told how many steps it will take"),
    "Heard from": st.column_config.TextColumn(help="When the training process last wrote anything"),
}


def live(scene: Scene) -> View:
    """The table of the runs on screen, running ones first; then loss, gradient norm and one metric over depth."""
    if not scene.view.runs:
        st.info("Choose runs in the sidebar.")
        return scene.view
    shown = scene.shown.sort_values("status", key=lambda words: words != "running", kind="stable")
    running = int((shown["status"] == "running").sum())
    st.caption(_told(running, len(shown)))
    table = live_table(shown, scene.pace())
    st.dataframe(
        table.style.map(strategy_cell, subset=["Strategy"]),
        hide_index=True,
        column_config={**COLUMNS, **fitted(table)},
        placeholder="–",
        alt="Runs on screen: how far and how fast each is",
    )
    left, right = st.container(key=PAIR).columns(2, gap="medium")
    with left:
        chart(scene, FIGURES["loss"], scene.view)
    with right:
        chart(scene, FIGURES["grad_norm"], scene.view)
    view = metric_controls(scene, scene.view)
    chart(scene, FIGURES["depth_profile"], view, title=metric_heading(scene, view))
    return view


def _told(running: int, shown: int) -> str:
    if not running:
        return f"None of the {shown} runs on screen is training; the page moves on as soon as one writes something new."
    return (
        f"{running} of {shown} runs on screen {'is' if running == 1 else 'are'} training. The page looks every 2 to 5 "
        "seconds, more rarely where all cores are busy, and draws only what changed; a zoom stays. Follow live, in "
        "the sidebar, pauses it."
    )


LIVE = Page("live", "Live", ":material/sensors:", live, live=True)
