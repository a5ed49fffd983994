"""Small multiples: one panel a strategy, its runs in colour over the grey of all others."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..text import plotly as safe
from ..theme import Theme, run_styles
from ..view import View
from .blank import blank_figure
from .crowd import GREY
from .depth_profile import DEPTH_PROFILE, depth_profile_info, profile_query
from .line import Line
from .lines import Lines, add_lines, lines_alt, lines_axis, lines_table
from .record import Figure

__all__ = ["DEPTH_GRID", "depth_grid_figure", "depth_grid_info"]

ACROSS = 5
ROW = 130
"""Pixels of a row of panels."""


def depth_grid_info(frame: pd.DataFrame, view: View) -> Lines:
    """The lines of `depth_profile_info`, each in colour in its own panel, on an axis that holds them all."""
    return replace(depth_profile_info(frame, view), bright=(), y_range=None, outside="")


def depth_grid_figure(info: Lines, theme: Theme) -> go.Figure:
    """Panels with common axes, in the order of the legends."""
    if info.empty:
        return blank_figure("These runs have no values of this metric here yet.", theme)
    strategies = list(dict.fromkeys(line.strategy for line in info.lines))
    rows = math.ceil(len(strategies) / ACROSS)
    figure = make_subplots(
        rows,
        min(ACROSS, len(strategies)),
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=[safe(name, 24) for name in strategies],
        horizontal_spacing=0.02,
        vertical_spacing=0.24 / rows,
    )
    styles = run_styles([(line.label, line.strategy) for line in info.lines])
    for number, strategy in enumerate(strategies, start=1):
        figure.add_trace(_ground(info.lines, number))
        add_lines(figure, [own for own in info.lines if own.strategy == strategy], styles, markers=False, axis=number)
    figure.update_annotations(font={"size": 12, "color": theme.text})
    figure.update_layout(template=theme.template, height=60 + ROW * rows, showlegend=False, hovermode="closest")
    figure.update_yaxes(**lines_axis(info))
    if info.log:
        figure.update_yaxes(dtick=2)
    figure.update_xaxes(nticks=4)
    figure.update_xaxes(title_text=safe(info.x_title), row=rows)
    figure.add_annotation(text=safe(info.y_title, 80), textangle=-90, font={"size": 13}, **LEFT)
    figure.update_layout(margin={"l": 70})
    return figure


LEFT = {
    "x": 0,
    "y": 0.5,
    "xref": "paper",
    "yref": "paper",
    "xshift": -62,
    "xanchor": "center",
    "yanchor": "middle",
    "showarrow": False,
}


def _ground(lines: Sequence[Line], axis: int) -> go.Scatter:
    """All lines as one grey trace with gaps: a trace each in every panel would be hundreds."""
    gap = (math.nan,)
    number = "" if axis == 1 else str(axis)
    return go.Scatter(
        x=np.asarray([x for line in lines for x in (*line.x, *gap)], dtype=np.float64),
        y=np.asarray([y for line in lines for y in (*line.y, *gap)], dtype=np.float64),
        xaxis=f"x{number}",
        yaxis=f"y{number}",
        mode="lines",
        line={"color": GREY, "width": 0.7},
        hoverinfo="skip",
        showlegend=False,
        name="all runs",
    )


DEPTH_GRID = Figure(
    name="depth_grid",
    title="Strategy by strategy",
    caption="Look for the panels whose shape differs from their neighbours': grey is every other strategy on the same "
    "axes.",
    reads=DEPTH_PROFILE.reads,
    query=profile_query,
    info=depth_grid_info,
    draw=depth_grid_figure,
    table=lambda info: lines_table(info, "run"),
    alt=lambda info: lines_alt(info, "Depth profile of each strategy in a panel of its own"),
)
