"""What each layer of one run is worth: the held-out loss when its block is skipped or repeated, or a branch is zeroed.

Skip: the block's input is passed on (ShortGPT, arXiv 2403.03853; arXiv 2403.17887). Repeat: the block is applied twice
(arXiv 2507.07996). Zero: the attention or MLP branch adds nothing; in a post-norm block the norm still applies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from depthscope.store import Store

from ..theme import NONFINITE, Theme, tint
from ..view import View
from .axes import axis_range, joined, layer_axis
from .blank import blank_figure
from .frames import numbers
from .held_out import ERRORS, bars_note, interventions, is_signal, when
from .record import Figure

__all__ = ["LAYER_COST", "Cost", "Costs", "layer_cost_figure", "layer_cost_info"]

PANELS = (
    ("Whole block", (("skip", "block", "skipped"), ("repeat", "block", "repeated"))),
    ("One branch", (("zero", "attn_out", "attention zeroed"), ("zero", "mlp_out", "MLP zeroed"))),
)
"""Panel title -> (action, site, words) of its two series."""

COLOURS = {"skipped": "#6699CC", "repeated": "#997700", "attention zeroed": "#44AA99", "MLP zeroed": "#AA4499"}
"""Of Tol's muted set: the colours of strategies say strategies."""

DELTA = "Change of held-out loss (nats/token)"
FIRST = 2
"""Layer 1 often costs a hundred times what the others do: it has no say in the range."""


@dataclass(frozen=True)
class Cost:
    """One series: a difference of losses and its standard error (nats/token) for each layer."""

    words: str
    layers: tuple[int, ...]
    deltas: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def signals(self) -> tuple[bool, ...]:
        """Which layers' differences exceed their noise."""
        return tuple(map(is_signal, self.deltas, self.errors))


@dataclass(frozen=True)
class Costs:
    """Panels of one or two series that share the value axis."""

    panels: tuple[tuple[str, tuple[Cost, ...]], ...] = ()
    y_range: tuple[float, float] | None = None
    """Where a first layer would squeeze the others; None: everything fits."""
    note: str = ""

    @property
    def empty(self) -> bool:
        """Nothing was skipped, repeated or zeroed."""
        return not self.panels

    @property
    def every(self) -> tuple[Cost, ...]:
        """All series, left to right."""
        return tuple(cost for _, costs in self.panels for cost in costs)


def layer_cost_query(store: Store, view: View) -> pd.DataFrame:
    """Interventions of single blocks of the focus run, at its newest evaluation up to the view's step."""
    frame = interventions(store, view, [view.focus], ["skip", "repeat", "zero"])
    return frame[frame["span"] == 1]


def layer_cost_info(frame: pd.DataFrame, view: View) -> Costs:
    """The panels that have a value."""
    found = [(title, tuple(_costs(frame, series))) for title, series in PANELS]
    panels = tuple((title, costs) for title, costs in found if costs)
    every = [cost for _, costs in panels for cost in costs]
    y_range = axis_range(_reach(every, FIRST), _reach(every, 0), log=False)
    pairs = [pair for cost in every for pair in zip(cost.deltas, cost.errors, strict=True)]
    cut = "Bars that leave the axis carry their value." if y_range else ""
    return Costs(panels, y_range, joined(when(frame), bars_note(pairs), cut))


def _costs(frame: pd.DataFrame, series: Iterable[tuple[str, str, str]]) -> Iterable[Cost]:
    for action, site, words in series:
        rows = frame[(frame["action"] == action) & (frame["site"] == site) & frame["layer"].notna()]
        rows = rows.sort_values("layer")
        if len(rows):
            layers = tuple(int(layer) for layer in rows["layer"])
            yield Cost(words, layers, numbers(rows["delta"]), numbers(rows["delta_se"]))


def _reach(costs: Sequence[Cost], first: int) -> list[list[float]]:
    """Both ends of every error bar from layer `first` on, and zero: bars stand on it."""
    ends = [0.0]
    for cost in costs:
        for layer, delta, error in zip(cost.layers, cost.deltas, cost.errors, strict=True):
            if layer >= first:
                wide = ERRORS * error if np.isfinite(error) else 0.0
                ends += [delta - wide, delta + wide]
    return [ends]


def layer_cost_figure(info: Costs, theme: Theme) -> go.Figure:
    """Grouped bars with error bars; noise is hollow, what the axis cuts off is named."""
    if info.empty:
        return blank_figure("This run has no held-out measurements up to this step.", theme)
    titles = [title for title, _ in info.panels]
    figure = make_subplots(rows=1, cols=len(titles), shared_yaxes="all", subplot_titles=titles, horizontal_spacing=0.04)
    for column, (_, costs) in enumerate(info.panels, start=1):
        for cost in costs:
            figure.add_trace(_bars(cost, theme), row=1, col=column)
            figure.add_trace(_key(cost), row=1, col=column)
        _outside(figure, costs, info.y_range, column, theme)
        for cost in costs:
            _broken(figure, cost, column)
        deepest = max(layer for cost in costs for layer in cost.layers)
        figure.update_xaxes(title_text="Layer", **layer_axis(deepest), col=column)
    figure.update_yaxes(title_text=DELTA, col=1)
    figure.update_yaxes(range=info.y_range, zeroline=True, zerolinecolor=theme.muted, zerolinewidth=1)
    figure.update_annotations(font={"size": 12, "color": theme.text})
    figure.update_layout(template=theme.template, height=400, barmode="group", bargap=0.25, margin={"t": 64})
    figure.update_layout(legend={"y": 1.12})
    return figure


def _bars(cost: Cost, theme: Theme) -> go.Bar:
    colour = COLOURS[cost.words]
    errors = np.nan_to_num(np.asarray(cost.errors, dtype=np.float64), nan=0.0, posinf=0.0)
    return go.Bar(
        x=np.asarray(cost.layers, dtype=np.int32),
        y=np.where(np.isfinite(cost.deltas), cost.deltas, np.nan).astype(np.float64),
        name=cost.words,
        legendgroup=cost.words,
        showlegend=False,
        marker={
            "color": [colour if signal else tint(theme.muted, 0.12) for signal in cost.signals],
            "line": {"color": [colour if signal else theme.muted for signal in cost.signals], "width": 1},
        },
        error_y={"type": "data", "array": ERRORS * errors, "color": theme.muted, "thickness": 1.2, "width": 2},
        customdata=np.asarray(cost.errors, dtype=np.float64),
        hovertemplate="layer %{x}, " + cost.words + ": %{y:+.4g} ± %{customdata:.2g} (1 SE)<extra></extra>",
    )


def _key(cost: Cost) -> go.Scatter:
    """Its entry in the legend, which would show the first bar, hollow or not."""
    marks = {"symbol": "square", "size": 11, "color": COLOURS[cost.words]}
    key = go.Scatter(x=[None], y=[None], mode="markers", marker=marks, name=cost.words, legendgroup=cost.words)
    return key.update(hoverinfo="skip")


def _outside(
    figure: go.Figure, costs: Sequence[Cost], ends: tuple[float, float] | None, column: int, theme: Theme
) -> None:
    """A label beside the bars of a layer that end beyond the axis."""
    if ends is None:
        return
    labels: dict[int, list[str]] = {}
    for cost in costs:
        for layer, delta in zip(cost.layers, cost.deltas, strict=True):
            if np.isfinite(delta) and not ends[0] <= delta <= ends[1]:
                labels.setdefault(layer, []).append(f"{'↑' if delta > 0 else '↓'} {cost.words} {delta:+.3g}")
    for layer, lines in labels.items():
        up = lines[0].startswith("↑")
        figure.add_annotation(
            x=layer + 0.5,
            y=ends[1] if up else ends[0],
            text="<br>".join(lines),
            showarrow=False,
            align="left",
            bgcolor=theme.paper,
            xanchor="left",
            yanchor="top" if up else "bottom",
            row=1,
            col=column,
        )


def _broken(figure: go.Figure, cost: Cost, column: int) -> None:
    """Red triangles where a difference is NaN or Inf."""
    layers = [layer for layer, delta in zip(cost.layers, cost.deltas, strict=True) if not np.isfinite(delta)]
    if layers:
        marks = {"symbol": "triangle-up", "size": 10, "color": NONFINITE}
        hover = "layer %{x}, " + cost.words + ": NaN or Inf<extra></extra>"
        trace = go.Scatter(x=layers, y=[0.0] * len(layers), mode="markers", marker=marks, hovertemplate=hover)
        figure.add_trace(trace.update(name="NaN or Inf", showlegend=False), row=1, col=column)


def layer_cost_table(info: Costs) -> pd.DataFrame:
    """One row a bar."""
    rows = [
        (layer, cost.words, delta, error, "signal" if signal else "noise")
        for cost in info.every
        for layer, delta, error, signal in zip(cost.layers, cost.deltas, cost.errors, cost.signals, strict=True)
    ]
    return pd.DataFrame(rows, columns=["Layer", "What was done", DELTA, "Standard error", "Beyond 2 SE"])


def layer_cost_alt(info: Costs) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return "Cost of each layer: nothing to show yet."
    told = [
        f"{cost.words}: {sum(cost.signals)} of {len(cost.layers)} beyond two standard errors" for cost in info.every
    ]
    return f"Bars of the change of held-out loss by layer; {'; '.join(told)}."


LAYER_COST = Figure(
    name="layer_cost",
    title="What each layer is worth",
    caption="Look for blocks that cost nothing to skip, for those that cost little to repeat, and for which of the "
    "two branches carries a layer; single costs do not add up, see the pruning curve.",
    reads=("runs", "run", "stack", "step"),
    query=layer_cost_query,
    info=layer_cost_info,
    draw=layer_cost_figure,
    table=layer_cost_table,
    alt=layer_cost_alt,
    one_run=True,
)
