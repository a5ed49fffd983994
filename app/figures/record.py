"""What a figure is: four functions in a row, and the words that belong under it.

    query(store, view) -> frame -> info(frame, view) -> record -> draw(record, theme) -> plotly figure
                                                               -> table(record), alt(record)

Facts come in through `query`, choices through `view`; `info` is pure and its record is plain, so tests compare it by
equality and the report draws every figure without knowing any of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..theme import Theme
from ..view import View

__all__ = ["AnyFigure", "AnyTable", "Drawn", "Figure", "Table"]


class Drawn(Protocol):
    """What every record carries beside its data."""

    @property
    def note(self) -> str:
        """What a careful reader must know of this very picture (which batch, how many NaN); '' when nothing."""

    @property
    def empty(self) -> bool:
        """Nothing to draw."""


R = TypeVar("R", bound=Drawn)


@dataclass(frozen=True)
class Figure(Generic[R]):
    """A picture and everything said about it."""

    name: str
    title: str
    caption: str
    """One sentence: what to look for."""
    reads: tuple[str, ...]
    """The fields of View that `query` depends on; a cache may forget the others."""
    query: Callable[[Store, View], pd.DataFrame]
    info: Callable[[pd.DataFrame, View], R]
    draw: Callable[[R, Theme], go.Figure]
    table: Callable[[R], pd.DataFrame]
    alt: Callable[[R], str]
    one_run: bool = False
    """Shows `view.focus` alone: a report draws it once a run."""

    def record(self, store: Store, view: View) -> R:
        """The record of this figure for a view. Raises what the store raises (StoreBusy)."""
        return self.info(self.query(store, view.keep(self.reads)), view)


@dataclass(frozen=True)
class Table(Generic[R]):
    """Numbers that are better read than drawn; the same steps without `draw`."""

    name: str
    title: str
    caption: str
    reads: tuple[str, ...]
    query: Callable[[Store, View], pd.DataFrame]
    info: Callable[[pd.DataFrame, View], R]
    table: Callable[[R], pd.DataFrame]

    def record(self, store: Store, view: View) -> R:
        """The record of this table for a view. Raises what the store raises (StoreBusy)."""
        return self.info(self.query(store, view.keep(self.reads)), view)


AnyFigure = Figure[Any]
AnyTable = Table[Any]
