"""The numbers under a figure as a small table: wide where that reads better, numbers with four digits."""

import math
from dataclasses import dataclass

import pandas as pd

from ..text import plain

__all__ = ["Sheet", "cell", "sheet"]


@dataclass(frozen=True)
class Sheet:
    """A table as text. `head` are column titles; the first cell of a row is its title."""

    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sheet(frame: pd.DataFrame) -> Sheet:
    """`frame` as text; one value a run and layer, or a step and layer, becomes one row a layer."""
    columns = [str(name) for name in frame.columns]
    if columns[:3] == ["run", "strategy", "Layer"] and len(columns) == 4:
        return _by_layer(frame, "run", "")
    if len(columns) == 3 and columns[1] == "Layer":
        return _by_layer(frame, columns[0], f"{columns[0]} ")
    return Sheet(tuple(map(plain, columns)), _texts(frame))


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


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"
