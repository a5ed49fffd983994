"""Names at the ends of lines: with many lines a legend asks the eye to match colours, a label does not.

The labels stand in a column right of the plot in the order of the lines' last values, moved apart as little as it
takes, each with a thin leader to where its line ends.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import median

import plotly.graph_objects as go

from ..text import plotly as safe
from ..theme import Theme, strategy_style, tint
from .axes import value_span
from .line import Line

__all__ = ["HEIGHT", "EndLabel", "end_labels", "label_ends", "spread_apart"]

GAP = 15.0
"""Pixels from one label to the next."""
HEIGHT = 500
"""Pixels of a figure with labels: two dozen of them find room."""
FRAME = 90
"""Of these, above and below the plot."""
LETTERS = 18


@dataclass(frozen=True)
class EndLabel:
    """The name of a strategy beside the end of its first line; `shift` pixels above it (below: negative)."""

    strategy: str
    value: float
    shift: float
    bright: bool


def end_labels(
    lines: Sequence[Line], ends: tuple[float, float], log: bool, height: float, bright: Collection[str]
) -> tuple[EndLabel, ...]:
    """A label a strategy on an axis from `ends[0]` to `ends[1]`, `height` pixels long; highest first.

    Where not all of them fit, those of the strategies in grey are left out.
    """
    last = {line.strategy: value for line in reversed(lines) if (value := _last(line)) is not None}
    if len(last) * GAP > height + GAP:
        last = {name: value for name, value in last.items() if name in bright}
    ordered = [(name, min(max(value, ends[0]), ends[1])) for name, value in sorted(last.items(), key=itemgetter(1))]
    low, high = (_scaled(end, log) for end in ends)
    places = [height * (_scaled(value, log) - low) / ((high - low) or 1.0) for _, value in ordered]
    moved = spread_apart(places, GAP, height)
    labels = [
        EndLabel(name, value, round(now - before, 1), name in bright)
        for (name, value), before, now in zip(ordered, places, moved, strict=True)
    ]
    return tuple(reversed(labels))


def _last(line: Line) -> float | None:
    """Where the line ends: the median of its last finite values, a hundredth of them."""
    finite = [y for y in line.y if math.isfinite(y)]
    return median(finite[-1 - len(finite) // 100 :]) if finite else None


def _scaled(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def spread_apart(places: Sequence[float], gap: float, height: float) -> list[float]:
    """Ascending places moved to be at least `gap` apart within 0 and `height`, by the least sum of squares."""
    blocks: list[tuple[float, int]] = []  # mean of the places less their gaps, and how many: pooled until they ascend
    for nth, place in enumerate(places):
        mean, count = place - nth * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, n = blocks.pop()
            mean, count = (before * n + mean * count) / (n + count), n + count
        blocks.append((mean, count))
    free = max(height - (len(places) - 1) * gap, 0.0)
    flat = [min(max(mean, 0.0), free) for mean, count in blocks for _ in range(count)]
    return [base + nth * gap for nth, base in enumerate(flat)]


def label_ends(
    figure: go.Figure,
    lines: Sequence[Line],
    ends: tuple[float, float] | None,
    log: bool,
    bright: Collection[str],
    theme: Theme,
) -> None:
    """Label the lines of a figure in place of its legend; `ends`: those of its value axis, where it has any."""
    ends = ends or value_span([line.y for line in lines], log)
    labels = end_labels(lines, ends, log, HEIGHT - FRAME, bright) if ends else ()
    for label in labels:
        figure.add_annotation(**_annotation(label, log, theme))
    longest = max((len(label.strategy[:LETTERS]) for label in labels), default=0)
    figure.update_layout(height=HEIGHT, hovermode="closest", showlegend=False, margin={"r": 52 + 7 * longest})
    if ends:
        figure.update_yaxes(range=[math.log10(end) for end in ends] if log else ends, autorange=False)


def _annotation(label: EndLabel, log: bool, theme: Theme) -> dict[str, object]:
    """Plotly's settings of a label, which follows the end of its line when the axis is zoomed."""
    colour = strategy_style(label.strategy).colour
    name = safe(label.strategy, LETTERS)
    return {
        "x": 1,
        "xref": "x domain",
        "y": math.log10(label.value) if log else label.value,
        "ax": 24,
        "ay": -label.shift,
        "text": f'<span style="color:{colour}">■</span> {name}' if label.bright else name,
        "font": {"size": 12, "color": theme.text if label.bright else theme.muted},
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": colour if label.bright else tint(theme.muted, 0.5),
        "xanchor": "left",
    }
