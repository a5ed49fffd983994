"""Blocks removed together: held-out loss against how many, one line a ranking that chose them.

The cost of single blocks does not add up, so the joint curve is measured. The ranking is chosen on one split of the
held-out batches and the loss reported on another (ShortGPT, arXiv 2403.03853; arXiv 2403.17887; arXiv 2605.14075).
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..text import short
from ..theme import DASHES, MARKERS, OTHERS, Style, Theme
from ..view import View
from .axes import joined, layer_axis
from .held_out import ERRORS, interventions, when
from .layer_cost import DELTA
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = ["PRUNING_CURVE", "pruning_curve_figure", "pruning_curve_info", "ranking_words"]

RANKINGS = {
    "block_influence": "block influence",
    "angular_distance": "angular distance",
    "skip_loss": "loss when skipped alone",
    "greedy": "greedy, one after the other",
    "last_k": "the last blocks",
    "random": "random blocks",
}
"""Names in the store -> words. Another name is shown as it is."""

X_TITLE = "Blocks removed together"


def ranking_words(name: object) -> str:
    """What people call a ranking."""
    return RANKINGS.get(str(name), short(name))


def pruning_curve_query(store: Store, view: View) -> pd.DataFrame:
    """Interventions that removed several blocks of the focus run, at its newest evaluation up to the view's step."""
    return interventions(store, view, [view.focus], "prune_set")


def pruning_curve_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a ranking, in the order of RANKINGS; the band is two standard errors."""
    known = list(RANKINGS)
    names = sorted(set(frame["site"]), key=lambda name: (known.index(name) if name in known else len(known), name))
    lines = [_line(ranking_words(name), frame[frame["site"] == name]) for name in names]
    scale = "linear" if view.scale == "auto" else view.scale
    about = joined(when(frame), "The band is two standard errors." if len(frame) else "")
    return lines_info(lines, X_TITLE, DELTA, scale, about)


def _line(label: str, rows: pd.DataFrame) -> Line:
    """The mean of each count (random draws may be several), from no block removed on."""
    rows = rows.assign(wide=ERRORS * rows["delta_se"].fillna(0.0))
    rows = rows.assign(low=rows["delta"] - rows["wide"], high=rows["delta"] + rows["wide"])
    points = rows.groupby("span").agg(delta=("delta", "mean"), low=("low", "min"), high=("high", "max"))
    if 0 not in points.index:
        points.loc[0] = 0.0
    points = points.sort_index()
    x, y, low, high = (
        tuple(np.asarray(column, dtype=np.float64).tolist())
        for column in (points.index, points["delta"], points["low"], points["high"])
    )
    return Line(label, "", x, y, low, high)


def pruning_curve_figure(info: Lines, theme: Theme) -> go.Figure:
    """A colour, a dash and a marker each."""
    styles = {
        line.label: Style(OTHERS[n % len(OTHERS)], DASHES[n % len(DASHES)], MARKERS[n % len(MARKERS)])
        for n, line in enumerate(info.lines)
    }
    nothing = "No blocks of this run were removed together up to this step."
    figure = lines_figure(info, styles, theme, markers=True, nothing=nothing)
    if not info.empty:
        most = max(line.x[-1] for line in info.lines)
        figure.update_xaxes(**layer_axis(most), unifiedhovertitle={"text": "%{x} removed"})
    return figure


PRUNING_CURVE = Figure(
    name="pruning_curve",
    title="Removing several blocks",
    caption="Look for how far a curve stays flat: so many blocks can go. A ranking worth using lies below random "
    "blocks and below the last blocks.",
    reads=("runs", "run", "stack", "step"),
    query=pruning_curve_query,
    info=pruning_curve_info,
    draw=pruning_curve_figure,
    table=lambda info: lines_table(info, "ranking").drop(columns="strategy"),
    alt=lambda info: lines_alt(info, "Held-out loss of blocks removed together"),
    one_run=True,
)
