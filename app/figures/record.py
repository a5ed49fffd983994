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
class _Answer(Generic[R]):
    """From a store to the record of a picture or table."""

    name: str
    title: str
    caption: str
    """One sentence: what to look for."""
    reads: tuple[str, ...]
    """The fields of View that `query` depends on; a cache may forget the others."""
    query: Callable[[Store, View], pd.DataFrame]
    info: Callable[[pd.DataFrame, View], R]
    table: Callable[[R], pd.DataFrame]

    def record(self, store: Store, view: View) -> R:
        """The record for a view. Raises what the store raises (StoreBusy)."""
        return self.info(self.query(store, view.keep(self.reads)), view)


@dataclass(frozen=True, kw_only=True)
class Figure(_Answer[R]):
    """A picture and everything said about it."""

    draw: Callable[[R, Theme], go.Figure]
    alt: Callable[[R], str]
    one_run: bool = False
    """Shows `view.focus` alone: a report draws it once a run."""


@dataclass(frozen=True, kw_only=True)
class Table(_Answer[R]):
    """Numbers that are better read than drawn."""

    secondary: tuple[str, ...] = ()
    """Columns that a page hides at first."""


AnyFigure = Figure[Any]
AnyTable = Table[Any]
