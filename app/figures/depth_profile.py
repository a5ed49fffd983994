"""One metric against depth, one line per run: where in the network it grows, falls or jumps."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, depth_profile

from ..text import quantity, site_words
from ..theme import Theme, run_styles
from ..view import View
from .axes import layer_axis
from .frames import compared_phase, described, measured, moment, numbers, rows_of, strategy_of
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = [
    "DEPTH_PROFILE",
    "depth_profile_figure",
    "depth_profile_info",
    "profile_query",
    "profiles_query",
]


RELATIVE = "Relative depth (layer / last layer)"


def profile_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, strategy, step, layer, value, phase, metric, title, unit, site."""
    return profiles_query(store, view, [(view.metric, view.site)])


def profiles_query(store: Store, view: View, shown: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """The profiles of several (metric, site) below each other: the columns of `profile_query`."""
    metrics = store.metrics()
    parts = []
    for metric, site in shown:
        fetch = partial(_profile, store, view, metric, site)
        parts.append(described(compared_phase(view.phase, view.runs, fetch), metric, metrics).assign(site=site))
    return pd.concat(parts)


def _profile(store: Store, view: View, metric: str, site: str, phase: str) -> pd.DataFrame:
    return depth_profile(store, view.runs, metric, site, phase, step=view.step, stack=view.stack)


def depth_profile_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a run, in the view's order, against layers or against each run's relative depth."""
    lines = [_line(run, rows) for run, rows in rows_of(frame, view.runs)]
    if view.depth == "relative":
        lines = [replace(line, x=tuple(n / max(line.x[-1], 1) for n in line.x)) for line in lines]
    first = min((x for line in lines for x in line.x if x > 0), default=1.0)
    title = RELATIVE if view.depth == "relative" else "Layer"
    return lines_info(lines, title, value_title(frame), view.scale, measured(moment(frame)), first, view.bright)


def _line(run: str, rows: pd.DataFrame) -> Line:
    rows = rows.sort_values("layer")
    return Line(run, strategy_of(rows), numbers(rows["layer"]), numbers(rows["value"]))


def value_title(frame: pd.DataFrame) -> str:
    """Axis title of a described frame: 'Variance, block output (activation²)'."""
    if frame.empty:
        return ""
    first = frame.iloc[0]
    return quantity(f"{first['title']}, {site_words(first['site'])}", first["unit"])


def depth_profile_figure(info: Lines, theme: Theme) -> go.Figure:
    """Lines with a marker a layer."""
    styles = run_styles([(line.label, line.strategy) for line in info.lines])
    figure = lines_figure(
        info, styles, theme, markers=True, nothing="These runs have no values of this metric here yet."
    )
    if not info.empty and info.x_title != RELATIVE:
        deepest = max(line.x[-1] for line in info.lines)
        figure.update_xaxes(**layer_axis(deepest), unifiedhovertitle={"text": "layer %{x}"})
    return figure


DEPTH_PROFILE = Figure(
    name="depth_profile",
    title="Depth profile",
    caption="Look at the shape over depth: a straight rise, a bend or one layer that stands out; layer 0 is the stream "
    "that enters block 1.",
    reads=("runs", "metric", "site", "stack", "phase", "step"),
    query=profile_query,
    info=depth_profile_info,
    draw=depth_profile_figure,
    table=lambda info: lines_table(info, "run"),
    alt=lambda info: lines_alt(info, "Depth profile of each run"),
)
