"""One row a run: the numbers that sum up which of its layers do work."""

from dataclasses import dataclass

import pandas as pd

from depthscope.store import Store

from ..text import short
from ..view import View
from .frames import rows_of, strategy_of
from .held_out import named, newest
from .record import Table

__all__ = ["EFFECTIVENESS", "Effectiveness", "effectiveness_info", "measure_words"]

_TITLES = {
    "participation_ratio": "Participation",
    "deep_half_ratio": "Deep over early half",
    "effective_depth": "Blocks above 1 %",
    "skip_tolerance": "Skip tolerance",
    "loop_tolerance": "Loop tolerance",
}
_SECOND = {f"{name}_without_1": f"{title}, without block 1" for name, title in _TITLES.items()}
MEASURES = {**_TITLES, **_SECOND, "tokens_needed": "Tokens for errors below 0.001"}
"""Measures of a whole stack in the store -> column titles, in this order; others follow by name."""


@dataclass(frozen=True)
class Effectiveness:
    """`rows`: run, strategy, step, and the value of each of `measures`; None where it was not measured."""

    measures: tuple[str, ...] = ()
    rows: tuple[tuple[str, str, int, tuple[float | None, ...]], ...] = ()
    note: str = ""

    @property
    def empty(self) -> bool:
        """No summary was measured."""
        return not self.rows


def measure_words(name: str) -> str:
    """A measure as a column title."""
    words = short(name.replace("_", " "))
    return MEASURES.get(name, words[:1].upper() + words[1:])


def effectiveness_query(store: Store, view: View) -> pd.DataFrame:
    """Rows of `Store.layer_effects` about a whole stack, at each run's newest evaluation up to the view's step."""
    frame = store.layer_effects(runs=list(view.runs), steps=(0, view.step))
    frame = frame[(frame["stack"] == view.stack) & frame["layer"].isna() & frame["later_layer"].isna()]
    return named(store, newest(frame))


def effectiveness_info(frame: pd.DataFrame, view: View) -> Effectiveness:
    """The runs that have a summary, in the view's order."""
    known = list(MEASURES)
    found = sorted(set(frame["measure"]), key=lambda name: (known.index(name) if name in known else len(known), name))
    rows = []
    for run, part in rows_of(frame, view.runs):
        values = dict(zip(part["measure"], part["value"], strict=True))
        cells = tuple(float(values[name]) if name in values else None for name in found)
        rows.append((run, strategy_of(part), int(part["step"].max()), cells))
    return Effectiveness(tuple(found), tuple(rows))


def effectiveness_table(info: Effectiveness) -> pd.DataFrame:
    """The summary as a frame with readable column names."""
    titles = [measure_words(name) for name in info.measures]
    rows = [(strategy, run, step, *cells) for run, strategy, step, cells in info.rows]
    frame = pd.DataFrame(rows, columns=["Strategy", "Run", "Step", *titles])
    return frame.astype(dict.fromkeys(titles, "float64"))


EFFECTIVENESS = Table(
    name="effectiveness",
    title="Effectiveness in numbers",
    caption="Only differences beyond two standard errors count. Participation is 1 where all blocks matter alike and "
    "1/L where one does everything; blocks above 1 % cost more than that share of the loss to skip; tolerances are the "
    "share of blocks that cost less to skip, or to run twice.",
    reads=("runs", "stack", "step"),
    query=effectiveness_query,
    info=effectiveness_info,
    table=effectiveness_table,
    secondary=tuple(MEASURES[name] for name in (*_SECOND, "tokens_needed")),
)
