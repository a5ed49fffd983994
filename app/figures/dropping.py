"""One row a run: how sparse its weights may become by each definition of "for free"."""

from dataclasses import dataclass

import pandas as pd

from depthscope.store import dropping_points

from ..view import View
from .axes import joined
from .frames import rows_of
from .record import Table
from .sparsity_frames import curve_key, curve_words, curves_query, ordered_curves

__all__ = ["DROPPING", "Dropping", "dropping_info"]

DEFINITIONS = {
    "1pct": "Within 1 %",
    "0.01": "+0.01 nats",
    "0.05": "+0.05 nats",
    "0.1": "+0.1 nats",
    "knee": "Knee",
}
"""Endings of the definitions in the store -> column titles."""


@dataclass(frozen=True)
class Dropping:
    """`rows`: strategy, run, step, dense loss, and a text for each of DEFINITIONS and for the control."""

    rows: tuple[tuple[str, str, int, float, tuple[str, ...]], ...] = ()
    note: str = ""

    @property
    def empty(self) -> bool:
        """No curve has a dense loss to drop from."""
        return not self.rows


def dropping_info(frame: pd.DataFrame, view: View) -> Dropping:
    """The dropping points of the view's way of pruning, in the view's order of runs."""
    points = dropping_points(frame)
    if points.empty:
        return Dropping()
    keys = [curve_key(scope, ranking) for scope, ranking in zip(points["scope"], points["ranking"], strict=True)]
    points = points.assign(key=keys)
    choices = ordered_curves(points.loc[points["weights"] == "current", "key"])
    key = view.pruning if view.pruning in choices else (choices[0] if choices else "")
    points = points[points["key"] == key]
    strategies = dict(zip(frame["run"], frame["strategy"], strict=True))
    rows = []
    for run, own in rows_of(points, view.runs):
        now, control = own[own["weights"] == "current"], own[own["weights"] == "init"]
        if len(now):
            cells = (*(_cell(now, name) for name in DEFINITIONS), _cell(control, "1pct"))
            strategy = strategies[run] if isinstance(strategies[run], str) else "unknown"
            rows.append((strategy, run, int(now["step"].max()), float(now["loss"].iloc[0]), cells))
    return Dropping(tuple(rows), joined(f"Pruned by {curve_words(key)}."))


def _cell(points: pd.DataFrame, name: str) -> str:
    found = points[points["definition"].str.endswith(f"_{name}")]
    if found.empty:
        return ""
    row = found.iloc[0]
    return f"{'' if row['reached'] else '≥ '}{100 * float(row['sparsity']):.3g} %"


def dropping_table(info: Dropping) -> pd.DataFrame:
    """The dropping points as a frame with readable column names."""
    columns = ["Strategy", "Run", "Step", "Dense loss", *DEFINITIONS.values(), "Untrained, within 1 %"]
    return pd.DataFrame([(*row[:4], *row[4]) for row in info.rows], columns=columns)


DROPPING = Table(
    name="dropping_points",
    title="Dropping points",
    caption="The last measured sparsity before the loss leaves the band; ≥ where it never does. Compare runs at equal "
    "loss: what is trained less can be pruned more.",
    reads=("runs", "step"),
    query=curves_query,
    info=dropping_info,
    table=dropping_table,
    secondary=("Step",),
)
