"""Loss by strategy: the runs (seeds) of a strategy as thin lines, their mean on top, with how many there are."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..theme import Theme, strategy_style, tint
from ..view import View
from .lines import Line, Lines, lines_alt, lines_figure, lines_table
from .loss import loss_info, loss_query
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


def seed_groups_info(frame: pd.DataFrame, view: View) -> Groups:
    """Runs grouped by strategy, in the view's order; a mean covers only the stretch that all its runs have."""
    runs = loss_info(frame, view)
    strategies = dict.fromkeys(line.strategy for line in runs.lines)
    means = [_mean(name, [line for line in runs.lines if line.strategy == name]) for name in strategies]
    return Groups(runs, replace(runs, lines=tuple(mean for mean in means if mean.x)))


def _mean(strategy: str, lines: list[Line]) -> Line:
    """The mean at the positions of the first line that every line covers; NaN where one of them is."""
    start, end = max(line.x[0] for line in lines), min(line.x[-1] for line in lines)
    x = np.asarray([v for v in lines[0].x if start <= v <= end])
    values = [np.interp(x, line.x, line.y) for line in lines]
    y = np.mean(values, axis=0) if len(x) else x
    return Line(f"{strategy}: mean of n = {len(lines)}", strategy, tuple(x.tolist()), tuple(y.tolist()))


def seed_groups_figure(info: Groups, theme: Theme) -> go.Figure:
    """Thin translucent lines under the means; the legend names the means and their n."""
    styles = {line.label: strategy_style(line.strategy) for line in info.means.lines}
    figure = lines_figure(info.means, styles, theme, markers=False, nothing="No loss was logged.")
    for line in info.runs.lines:
        figure.add_trace(
            go.Scatter(
                x=np.asarray(line.x, dtype=np.float64),
                y=np.asarray(line.y, dtype=np.float32),
                mode="lines",
                line={"color": tint(strategy_style(line.strategy).colour, 0.35), "width": 1},
                hoverinfo="skip",
                showlegend=False,
                name="one seed",
            )
        )
    return figure


SEED_GROUPS = Figure(
    name="seed_groups",
    title="Loss by strategy",
    caption="Look for means that part by more than the thin lines of their seeds do: a smaller difference is noise.",
    reads=("runs", "x"),
    query=loss_query,
    info=seed_groups_info,
    draw=seed_groups_figure,
    table=lambda info: lines_table(replace(info.means, lines=(*info.means.lines, *info.runs.lines)), "run"),
    alt=lambda info: lines_alt(info.means, "Mean loss of each strategy over its seeds"),
)
