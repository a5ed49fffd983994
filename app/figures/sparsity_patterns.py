"""What fixed patterns cost: N weights kept in every group of M, as hardware wants them, beside free choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..text import plotly as safe
from ..text import short
from ..theme import Theme, run_styles
from ..view import View
from .axes import joined, value_span
from .blank import blank_figure
from .crowd import GREY, bright_strategies, crowd_note, in_front
from .frames import numbers, rows_of, strategy_of
from .held_out import ERRORS, when
from .record import Figure
from .sparsity_frames import curves_query, ranking_words

__all__ = ["SPARSITY_PATTERNS", "Pattern", "Patterns", "sparsity_patterns_info"]

RISE = "Change of held-out loss (nats/token)"
SHAPES = ("", "/", ".", "x", "-", "+")


@dataclass(frozen=True)
class Pattern:
    """One run: the change of loss of each pattern, and its standard error."""

    run: str
    strategy: str
    names: tuple[str, ...]
    deltas: tuple[float, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class Patterns:
    """The runs, in the view's order."""

    runs: tuple[Pattern, ...] = ()
    note: str = ""
    bright: tuple[str, ...] = ()
    """Strategies with bars, the others are grey dashes; empty: all of them."""

    @property
    def empty(self) -> bool:
        """No pattern was measured."""
        return not self.runs


def sparsity_patterns_info(frame: pd.DataFrame, view: View) -> Patterns:
    """Each N:M pattern of the trained weights, and any half of each matrix, against the dense loss."""
    now = frame[frame["weights"] == "current"]
    fixed = now[now["pattern"] != "unstructured"]
    half = now[(now["pattern"] == "unstructured") & (now["scope"] == "matrix") & (now["sparsity"] == 0.5)]
    half = half[half["ranking"].isin(fixed["ranking"])]
    shown = pd.concat([half, fixed]) if len(fixed) else fixed
    dense = now[now["sparsity"] == 0].drop_duplicates("run").set_index("run")["loss"]
    shown = shown[(shown["sparsity"] > 0) & shown["run"].isin(dense.index)]
    runs = tuple(_pattern(run, rows, float(dense[run])) for run, rows in rows_of(shown, view.runs))
    strategies = [run.strategy for run in runs]
    bright = bright_strategies(strategies, view.bright)
    bars = "Error bars are two standard errors." if runs else ""
    return Patterns(runs, joined(when(shown), bars, crowd_note(strategies, bright)), bright)


def _pattern(run: str, rows: pd.DataFrame, dense: float) -> Pattern:
    rows = rows.sort_values(["sparsity", "loss"])
    names = tuple(_words(p, r) for p, r in zip(rows["pattern"], rows["ranking"], strict=True))
    deltas = tuple(loss - dense for loss in numbers(rows["loss"]))
    return Pattern(run, strategy_of(rows), names, deltas, numbers(rows["loss_se"]))


def _words(pattern: object, ranking: object) -> str:
    free = "any 50 %" if pattern == "unstructured" else short(pattern, 16)
    return free if ranking == "magnitude" else f"{free}, {ranking_words(ranking)}"


def sparsity_patterns_figure(info: Patterns, theme: Theme) -> go.Figure:
    """Grouped bars; runs of one strategy differ by hatching. Of a crowd only the bright ones have bars."""
    if info.empty:
        return blank_figure("No patterns of these runs were measured up to this step.", theme)
    front, back = in_front(info.runs, info.bright)
    styles = run_styles([(run.run, run.strategy) for run in front])
    figure = go.Figure()
    seen: dict[str, int] = {}
    for run in front:
        colour = styles[run.run].colour
        nth = seen[colour] = seen.get(colour, -1) + 1
        errors = np.nan_to_num(np.asarray(run.errors, dtype=np.float64), nan=0.0, posinf=0.0)
        figure.add_trace(
            go.Bar(
                x=[safe(name) for name in run.names],
                y=np.asarray(run.deltas, dtype=np.float64),
                name=safe(run.run),
                marker={"color": colour, "pattern": {"shape": SHAPES[nth % len(SHAPES)], "size": 5}},
                error_y={"type": "data", "array": ERRORS * errors, "color": theme.muted, "thickness": 1.2, "width": 2},
                hovertemplate="%{x}: %{y:+.4g}",
            )
        )
    if back:
        figure.add_trace(_dashes(back))
    figure.update_layout(template=theme.template, barmode="group", hovermode="x", bargap=0.25, height=380)
    figure.update_xaxes(title_text="Pattern (kept of each group)", type="category")
    figure.update_yaxes(title_text=RISE, range=value_span([(0.0, *run.deltas) for run in info.runs], log=False))
    return figure


def _dashes(runs: Sequence[Pattern]) -> go.Scatter:
    """The runs in grey: a dash each over the middle of its pattern."""
    points = [(name, delta, run.run) for run in runs for name, delta in zip(run.names, run.deltas, strict=True)]
    return go.Scatter(
        x=[safe(name) for name, _, _ in points],
        y=[delta for _, delta, _ in points],
        mode="markers",
        marker={"symbol": "line-ew", "size": 56, "line": {"color": GREY, "width": 1.5}},
        name=f"{len(runs)} others",
        customdata=[safe(run) for _, _, run in points],
        hovertemplate="%{customdata}: %{y:+.4g}<extra></extra>",
    )


def sparsity_patterns_table(info: Patterns) -> pd.DataFrame:
    """One row a run and pattern."""
    rows = [
        (run.run, run.strategy, name, delta, error)
        for run in info.runs
        for name, delta, error in zip(run.names, run.deltas, run.errors, strict=True)
    ]
    return pd.DataFrame(rows, columns=["run", "strategy", "Pattern", RISE, "Standard error"])


def sparsity_patterns_alt(info: Patterns) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return "Loss of fixed patterns: nothing to show yet."
    names = dict.fromkeys(name for run in info.runs for name in run.names)
    return f"Bars of the change of held-out loss of {len(info.runs)} runs for {', '.join(names)}."


SPARSITY_PATTERNS = Figure(
    name="sparsity_patterns",
    title="Fixed patterns",
    caption="Look for what a pattern costs over a free choice of as many weights; 2:4 keeps two of every four along "
    "the input.",
    reads=("runs", "step"),
    query=curves_query,
    info=sparsity_patterns_info,
    draw=sparsity_patterns_figure,
    table=sparsity_patterns_table,
    alt=sparsity_patterns_alt,
)
