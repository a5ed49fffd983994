"""Held-out loss against the share of weights set to zero, one line a run, with the point where it drops.

Essential Sparsity (arXiv 2306.03805) fine-tunes what is left and asks for 1 % of a task's accuracy; here nothing is
fine-tuned and the point is the last one within 1 % of the dense loss. The dotted control is the same on the weights the
run began with: an under-trained model looks prunable, an untrained one most of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import dropping_points

from ..text import plotly as safe
from ..theme import Style, Theme, run_styles, tint
from ..view import View
from .axes import joined
from .crowd import in_front
from .frames import numbers, rows_of, strategy_of
from .held_out import ERRORS, when
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure
from .sparsity_frames import curve_key, curve_words, curves_query, ordered_curves

__all__ = ["DROP", "SPARSITY_CURVE", "SparsityCurves", "sparsity_curve_figure", "sparsity_curve_info"]

DROP = "1pct"
X_TITLE, Y_TITLE = "Weights set to zero (%)", "Held-out loss (nats/token)"


@dataclass(frozen=True)
class SparsityCurves:
    """The lines of the runs, of their untrained weights, and where each run's drops."""

    runs: Lines = field(default_factory=Lines)
    controls: tuple[Line, ...] = ()
    drops: tuple[tuple[str, float, float, bool], ...] = ()
    """run, sparsity (%), loss there, whether the loss left the band within the curve."""
    choices: tuple[str, ...] = ()
    """Ways of pruning that some run was measured by, as `View.pruning` names them."""

    @property
    def note(self) -> str:
        """What a careful reader must know."""
        return self.runs.note

    @property
    def empty(self) -> bool:
        """No curve."""
        return self.runs.empty


def sparsity_curve_info(frame: pd.DataFrame, view: View) -> SparsityCurves:
    """The curves of the view's way of pruning; of the first that was measured where that one was not."""
    frame = frame[frame["pattern"] == "unstructured"]
    if frame.empty:
        return SparsityCurves()
    keys = [curve_key(scope, ranking) for scope, ranking in zip(frame["scope"], frame["ranking"], strict=True)]
    frame = frame.assign(key=keys)
    current = frame[frame["weights"] == "current"]
    choices = ordered_curves(current["key"])
    key = view.pruning if view.pruning in choices else (choices[0] if choices else "")
    chosen = frame[frame["key"] == key]
    now, control = chosen[chosen["weights"] == "current"], chosen[chosen["weights"] == "init"]
    about = joined(when(now), f"Pruned by {curve_words(key)}; bands are two standard errors.", _control_note(control))
    lines = [_line(run, rows) for run, rows in rows_of(now, view.runs)]
    scale = "linear" if view.scale == "auto" else view.scale
    return SparsityCurves(
        lines_info(lines, X_TITLE, Y_TITLE, scale, about, bright=view.bright) if lines else Lines(),
        tuple(_line(run, rows) for run, rows in rows_of(control, view.runs)),
        _drops(now),
        tuple(choices),
    )


def _control_note(control: pd.DataFrame) -> str:
    if len(control):
        return "Dotted: the same on untrained weights, the control."
    return "Untrained weights were not measured: without that control a flat curve may only mean too little training."


def _line(run: str, rows: pd.DataFrame) -> Line:
    rows = rows.sort_values("sparsity")
    loss = rows["loss"].to_numpy(dtype=np.float64)
    wide = ERRORS * rows["loss_se"].fillna(0.0).to_numpy(dtype=np.float64)
    percent = tuple(100 * s for s in numbers(rows["sparsity"]))
    ends = (tuple((loss + sign * wide).tolist()) for sign in (-1, 1))
    return Line(run, strategy_of(rows), percent, tuple(loss.tolist()), *ends)


def _drops(frame: pd.DataFrame) -> tuple[tuple[str, float, float, bool], ...]:
    found = dropping_points(frame)
    found = found[found["definition"].str.endswith(f"_{DROP}")]
    losses = {(run, s): loss for run, s, loss in zip(frame["run"], frame["sparsity"], frame["loss"], strict=True)}
    return tuple(
        (str(run), 100 * float(s), float(losses[run, s]), bool(reached))
        for run, s, reached in zip(found["run"], found["sparsity"], found["reached"], strict=True)
    )


def sparsity_curve_figure(info: SparsityCurves, theme: Theme) -> go.Figure:
    """Curves, dotted controls under them, and a diamond where each curve leaves 1 %."""
    styles = run_styles([(line.label, line.strategy) for line in info.runs.lines])
    nothing = "No weights of these runs were pruned up to this step."
    figure = lines_figure(info.runs, styles, theme, markers=True, nothing=nothing)
    if info.empty:
        return figure
    figure.update_traces(marker={"size": 4}, selector={"mode": "lines+markers"})
    for nth, line in enumerate(in_front(info.controls, info.runs.bright)[0]):
        figure.add_trace(_control(line, styles, nth == 0))
    front = {line.label for line in info.runs.front}
    points = [drop for drop in info.drops if drop[0] in front]
    figure.add_trace(
        go.Scatter(
            x=[percent for _, percent, _, _ in points],
            y=[loss for _, _, loss, _ in points],
            mode="markers",
            marker={
                "symbol": ["diamond" if reached else "triangle-right" for *_, reached in points],
                "size": 12,
                "color": [styles[run].colour for run, *_ in points],
                "line": {"color": theme.text, "width": 1.5},
            },
            name="last within 1 %",
            hovertemplate="%{x:.3g} %, the last within 1 %",
        )
    )
    figure.update_xaxes(range=[-2, 102], unifiedhovertitle={"text": "%{x:.3g} % set to zero"})
    return figure


def _control(line: Line, styles: Mapping[str, Style], first: bool) -> go.Scatter:
    colour = styles[line.label].colour if line.label in styles else "#7F7F7F"
    return go.Scatter(
        x=np.asarray(line.x, dtype=np.float64),
        y=np.asarray(line.y, dtype=np.float64),
        mode="lines",
        line={"color": tint(colour, 0.7), "dash": "dot", "width": 1.5},
        name="untrained weights (control)",
        legendgroup="control",
        showlegend=first,
        customdata=[safe(line.label)] * len(line.x),
        hovertemplate="%{customdata}: %{y:.4g}",
    )


def sparsity_curve_table(info: SparsityCurves) -> pd.DataFrame:
    """One row a point, of the trained and of the untrained weights."""
    parts = [(info.runs.lines, "trained"), (info.controls, "untrained")]
    frames = [
        lines_table(Lines(tuple(lines), X_TITLE, Y_TITLE), "run").assign(weights=words)
        for lines, words in parts
        if lines
    ]
    if not frames:
        return pd.DataFrame(columns=["run", "strategy", X_TITLE, Y_TITLE, "weights"])
    return pd.concat(frames, ignore_index=True).rename(
        columns={"bucket minimum": "loss − 2 SE", "bucket maximum": "loss + 2 SE"}
    )


SPARSITY_CURVE = Figure(
    name="sparsity_curve",
    title="Loss against sparsity",
    caption="Look for how far each curve stays flat, at equal loss; the diamond is the last point within 1 % of the "
    "dense loss (oneshot_ce_1pct: no fine-tuning and no task accuracy, so not the paper's number).",
    reads=("runs", "step"),
    query=curves_query,
    info=sparsity_curve_info,
    draw=sparsity_curve_figure,
    table=sparsity_curve_table,
    alt=lambda info: lines_alt(info.runs, "Held-out loss of pruned weights"),
)
