"""The numbers under a figure as a small table: wide where that reads better, numbers with four digits."""

import math
import re
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from ..text import plain

__all__ = ["Sheet", "cell", "sheet"]

T = TypeVar("T")

MOST = 16
"""Rows, and columns, of a heatmap's table."""

WIDE = 12
"""Columns that a page has room for."""
NUMBER = re.compile(r"[(≥±−+-]?[\d.,]+(e[+-]?\d+)?\)?( ?%| ± .+)?|NaN|-?Inf|")


@dataclass(frozen=True)
class Sheet:
    """A table as text. `head` are column titles; the first cell of a row is its title."""

    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def words(self) -> frozenset[int]:
        """The columns that hold words: they are read from the left, numbers from the right."""
        return frozenset(at for at, column in enumerate(zip(*self.rows, strict=True)) if not all(map(_numeric, column)))

    @property
    def upright(self) -> "Sheet":
        """The same with rows and columns exchanged where only that fits a page."""
        if len(self.head) <= WIDE or len(self.rows) > WIDE:
            return self
        head, *rows = zip(self.head, *self.rows, strict=True)
        return Sheet(head, tuple(rows))


def sheet(frame: pd.DataFrame) -> Sheet:
    """`frame` as text; one value a run and layer, or a step and layer, becomes one row a layer."""
    columns = [str(name) for name in frame.columns]
    if columns[:3] == ["run", "strategy", "Layer"] and len(columns) == 4:
        return _by_layer(frame, "run", "")
    if len(columns) == 3 and columns[1] == "Layer":
        return _by_layer(frame, columns[0], f"{columns[0]} ")
    if columns[:2] == ["Layer", "What was done"] and columns[3:4] == ["Standard error"]:
        texts = list(map(_with_error, frame[columns[2]], frame["Standard error"]))
        return _across(frame.assign(**{columns[2]: texts}), "Layer", "What was done", columns[2])
    if columns[:1] == ["ranking"] and len(columns) >= 3:
        return _across(frame, columns[1], "ranking", columns[2])
    if columns[:1] == ["Quantity"] and len(columns) >= 4:
        return _by_row(frame)
    return Sheet(tuple(map(plain, columns)), _texts(frame))


def _with_error(value: float, error: float) -> str:
    return f"{cell(value)} ± {cell(error)}"


def _across(frame: pd.DataFrame, down: str, across: str, value: str) -> Sheet:
    """One row a value of `down`, one column a value of `across`."""
    texts = {(y, x): v for y, x, v in zip(frame[down], frame[across], map(cell, frame[value]), strict=True)}
    rows, columns = list(dict.fromkeys(frame[down])), list(dict.fromkeys(frame[across]))
    body = tuple((cell(y), *(texts.get((y, x), "") for x in columns)) for y in sorted(rows))
    return Sheet((plain(down), *map(plain, columns)), body)


def _by_row(frame: pd.DataFrame) -> Sheet:
    """Cells of heatmaps (Quantity, row, column, value, ...): a row a row of the picture; noise in parentheses.

    Of large pictures evenly spread rows and columns: all cells are in the picture itself.
    """
    what, row, column, value = frame.columns[:4]
    noise = frame[frame.columns[4]] if len(frame.columns) > 4 else pd.Series(False, index=frame.index)
    texts = {
        (quantity, y, x): f"({cell(v)})" if hidden else cell(v)
        for quantity, y, x, v, hidden in zip(frame[what], frame[row], frame[column], frame[value], noise, strict=True)
    }
    across = _spread(sorted({x for _, _, x in texts}))
    pairs = dict.fromkeys((quantity, y) for quantity, y, _ in texts)
    keys = [key for name in frame[what].unique() for key in _spread([pair for pair in pairs if pair[0] == name])]
    head = (str(what), plain(row), *(f"{plain(column)} {x}" if x == across[0] else cell(x) for x in across))
    return Sheet(head, tuple((*map(cell, key), *(texts.get((*key, x), "") for x in across)) for key in keys))


def _spread(values: list[T]) -> list[T]:
    """At most MOST of the values, both ends included."""
    if len(values) <= MOST:
        return values
    return [values[round(n * (len(values) - 1) / (MOST - 1))] for n in range(MOST)]


def _texts(frame: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(cell, row)) for row in frame.itertuples(index=False, name=None))


def _by_layer(frame: pd.DataFrame, across: str, prefix: str) -> Sheet:
    layers, columns = sorted(set(frame["Layer"])), list(dict.fromkeys(frame[across]))
    # Text first, so that "not measured" stays apart from NaN.
    texts = {(row["Layer"], row[across]): cell(row[frame.columns[-1]]) for row in frame.to_dict("records")}
    rows = tuple((cell(layer), *(texts.get((layer, column), "") for column in columns)) for layer in layers)
    return Sheet(("Layer", *(f"{prefix}{cell(column)}" for column in columns)), rows)


def cell(value: object) -> str:
    """One value as text; '' for missing. NaN is a value here: a frame says "not measured" by having no row, or NULL."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return "" if value is None or value is pd.NA or value is pd.NaT else plain(value)


def _numeric(text: str) -> bool:
    return NUMBER.fullmatch(text.removeprefix("≥ ")) is not None


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"
