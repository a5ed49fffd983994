"""Loss by group: the runs (seeds) of a strategy, or of a setting, as thin lines, their mean on top, with how many
there are and the range they span."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, run_table

from ..grouping import groups_of
from ..text import short
from ..theme import Theme, strategy_style, tint
from ..view import View
from .crowd import bright_strategies
from .lines import Line, Lines, lines_alt, lines_table
from .loss import loss_info, loss_query, series_figure
from .record import Figure

__all__ = ["SEED_GROUPS", "Groups", "seed_groups_info"]


@dataclass(frozen=True)
class Groups:
    """The lines of the runs, and of each strategy its mean."""

    runs: Lines
    means: Lines

    @property
    def note(self) -> str:
        """What a careful reader must know."""
        return self.runs.note

    @property
    def empty(self) -> bool:
        """No run logged a loss."""
        return self.runs.empty

    @property
    def divisor(self) -> float:
        """That of the lines."""
        return self.runs.divisor


def groups_query(store: Store, view: View) -> pd.DataFrame:
    """The columns of `loss_query`, and `group`: what the view groups runs by."""
    frame = loss_query(store, view)
    table = run_table(store)
    groups = groups_of(table[table["run"].isin(view.runs)], view.group)
    return frame.assign(group=frame["run"].map(groups))


def seed_groups_info(frame: pd.DataFrame, view: View) -> Groups:
    """Runs by their column `group`, else by strategy, in the view's order; a mean covers the stretch that all its runs
    have."""
    runs = loss_info(frame, view)
    known = dict(zip(frame["run"], frame["group"], strict=True)) if "group" in frame else {}
    lines = tuple(replace(line, strategy=known.get(line.label, line.strategy)) for line in runs.lines)
    groups = dict.fromkeys(line.strategy for line in lines)
    means = [_mean(name, [line for line in lines if line.strategy == name]) for name in groups]
    runs = replace(runs, lines=lines, bright=bright_strategies(groups, view.bright))
    return Groups(runs, replace(runs, lines=tuple(mean for mean in means if mean.x)))


def _mean(strategy: str, lines: list[Line]) -> Line:
    """The mean at the positions of the first line that every line covers; NaN where one of them is."""
    start, end = max(line.x[0] for line in lines), min(line.x[-1] for line in lines)
    x = np.asarray([v for v in lines[0].x if start <= v <= end])
    values = [np.interp(x, line.x, line.y) for line in lines]
    y = np.mean(values, axis=0) if len(x) else x
    ends = (np.min(values, axis=0), np.max(values, axis=0)) if len(lines) > 1 and len(x) else ()
    label = f"{short(strategy)}: mean of n = {len(lines)}"
    return Line(label, strategy, tuple(x.tolist()), tuple(y.tolist()), *(tuple(end.tolist()) for end in ends))


def seed_groups_figure(info: Groups, theme: Theme) -> go.Figure:
    """Thin translucent lines under the means; the legend names the means and their n."""
    figure = series_figure(info.means, theme, "No loss was logged.")
    thin = [] if info.empty else [_thin(line) for line in info.runs.front]
    figure.add_traces(thin)
    figure.data = (*figure.data[len(figure.data) - len(thin) :], *figure.data[: len(figure.data) - len(thin)])
    return figure


def _thin(line: Line) -> go.Scatter:
    return go.Scatter(
        x=np.asarray(line.x, dtype=np.float64),
        y=np.asarray(line.y, dtype=np.float32),
        mode="lines",
        line={"color": tint(strategy_style(line.strategy).colour, 0.35), "width": 1},
        hoverinfo="skip",
        showlegend=False,
        name="one seed",
    )


SEED_GROUPS = Figure(
    name="seed_groups",
    title="Loss by group",
    caption="Look for means that part by more than the bands of their runs do: a smaller difference is noise. "
    "The band is the range of the runs, the thin lines are the runs.",
    reads=("runs", "x", "zoom", "group"),
    query=groups_query,
    info=seed_groups_info,
    draw=seed_groups_figure,
    table=lambda info: lines_table(replace(info.means, lines=(*info.means.lines, *info.runs.lines)), "run"),
    alt=lambda info: lines_alt(info.means, "Mean loss of each group over its runs"),
)
