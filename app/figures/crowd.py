"""More strategies than colours can tell apart: a few stay in colour, the others stand behind them in grey.

The choice is one of strategies, the same in every figure, so that a line has its colour everywhere or nowhere.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import plotly.graph_objects as go

from ..text import plotly as safe
from ..theme import tint
from .line import Line

__all__ = ["BRIGHT", "GREY", "MOST", "add_context", "bright_strategies", "crowd_note", "in_front"]

MOST = 8
"""Strategies that can be drawn in colour together."""
BRIGHT = 6
"""Strategies in colour before anyone has chosen: the others are seen as one grey ground."""

GREY = tint("#7F8492", 0.45)
"""Reads on either ground without asking for attention."""


def bright_strategies(strategies: Iterable[str], chosen: Collection[str] = ()) -> tuple[str, ...]:
    """The strategies in colour, in their order: of more than MOST those `chosen`, else the first BRIGHT.

    Empty where there are no more than MOST: all of them are in colour.
    """
    every = tuple(dict.fromkeys(strategies))
    if len(every) <= MOST:
        return ()
    return tuple(name for name in every if name in chosen)[:MOST] or every[:BRIGHT]


class _HasStrategy(Protocol):
    @property
    def strategy(self) -> str: ...


T = TypeVar("T", bound=_HasStrategy)


def in_front(lines: Sequence[T], bright: Collection[str]) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """The lines (or whatever has a strategy) in colour, all of them where `bright` is empty; and those behind them."""
    if not bright:
        return tuple(lines), ()
    front = tuple(line for line in lines if line.strategy in bright)
    return front, tuple(line for line in lines if line.strategy not in bright)


def crowd_note(strategies: Iterable[str], bright: Collection[str]) -> str:
    """How many strategies are grey, as a sentence; '' where none is."""
    every = set(strategies)
    return f"In grey: {len(every - set(bright))} of {len(every)} strategies." if bright else ""


def add_context(figure: go.Figure, lines: Sequence[Line], *, axis: int = 1, legend: bool = False) -> None:
    """Thin grey lines that say who they are when pointed at; one legend entry, if any, switches them all."""
    number = "" if axis == 1 else str(axis)
    for nth, line in enumerate(lines):
        figure.add_trace(
            go.Scatter(
                x=np.asarray(line.x, dtype=np.float64),
                y=np.asarray(line.y, dtype=np.float64),
                xaxis=f"x{number}",
                yaxis=f"y{number}",
                mode="lines",
                line={"color": GREY, "width": 1},
                name=f"{len(lines)} others",
                legendgroup="others",
                showlegend=legend and nth == 0,
                customdata=[safe(line.label)] * len(line.x),
                hovertemplate="%{customdata}: %{y:.4g}<extra></extra>",
            )
        )
