"""One row a run: the few numbers that tell norm strategies apart."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from depthscope.store import Store, run_table

from ..view import View
from .depth_profile import profiles_query
from .fits import Growth, growth, half_depth_ratio
from .frames import numbers, rows_of, strategy_of
from .record import Table
from .strategy_profiles import moments

__all__ = ["SUMMARY", "Row", "Summary", "summary_info", "summary_table"]

READ = (("variance", "resid_post"), ("param_grad_norm", "block"), ("kurtosis", "resid_post"))


@dataclass(frozen=True)
class Row:
    """The summary of one run; NaN where something was not measured."""

    run: str
    strategy: str
    step: int
    loss: float
    growth: Growth
    gradient_ratio: float
    """Mean parameter gradient norm of the deep half of the blocks over that of the early half."""
    kurtosis: float
    """Largest over the layers."""


@dataclass(frozen=True)
class Summary:
    """The rows, in the view's order."""

    rows: tuple[Row, ...] = ()
    note: str = ""

    @property
    def empty(self) -> bool:
        """No run."""
        return not self.rows


def summary_query(store: Store, view: View) -> pd.DataFrame:
    """Profiles of READ below each other, with the run's last loss: columns of `profile_query`, and loss."""
    frame = profiles_query(store, view, READ)
    losses = run_table(store)[["run", "last_loss"]].rename(columns={"last_loss": "loss"})
    return frame.merge(losses, on="run", how="left")


def summary_info(frame: pd.DataFrame, view: View) -> Summary:
    """One row a run that has any profile."""
    parts = [frame[frame["metric"] == metric] for metric, _ in READ]
    note = moments([part for part in parts if len(part)])
    return Summary(tuple(_row(run, rows) for run, rows in rows_of(frame, view.runs)), note)


def _row(run: str, rows: pd.DataFrame) -> Row:
    profiles = {metric: _profile(rows[rows["metric"] == metric]) for metric, _ in READ}
    return Row(
        run=run,
        strategy=strategy_of(rows),
        step=int(rows["step"].max()),
        loss=numbers(rows["loss"])[0],
        growth=growth(*profiles["variance"]),
        gradient_ratio=half_depth_ratio(*profiles["param_grad_norm"]),
        kurtosis=max(profiles["kurtosis"][1], default=float("nan")),
    )


def _profile(rows: pd.DataFrame) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rows = rows.sort_values("layer")
    return numbers(rows["layer"]), numbers(rows["value"])


COLUMNS: Mapping[str, str] = {
    "strategy": "Strategy",
    "run": "Run",
    "step": "Step",
    "loss": "Last loss",
    "growth": "Growth",
    "slope": "Slope",
    "r2": "R²",
    "log_slope": "Log slope",
    "log_r2": "Log R²",
    "gradient_ratio": "Gradient deep/early",
    "kurtosis": "Max kurtosis",
}


def summary_table(info: Summary) -> pd.DataFrame:
    """The summary as a frame with readable column names."""
    rows = [
        {
            "strategy": row.strategy,
            "run": row.run,
            "step": row.step,
            "loss": row.loss,
            "growth": row.growth.word,
            "slope": row.growth.linear.slope,
            "r2": row.growth.linear.r2,
            "log_slope": row.growth.exponential.slope,
            "log_r2": row.growth.exponential.r2,
            "gradient_ratio": row.gradient_ratio,
            "kurtosis": row.kurtosis,
        }
        for row in info.rows
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).rename(columns=dict(COLUMNS))


SUMMARY = Table(
    name="summary",
    title="Summary",
    caption="Growth is that of the variance over layers 2 to L: slope per layer of a linear fit, and of its logarithm; "
    "a gradient ratio of 1 means that both halves of the depth receive gradients of the same size.",
    reads=("runs", "stack", "phase", "step"),
    query=summary_query,
    info=summary_info,
    table=summary_table,
    secondary=("Step", "Log slope", "Log R²"),
)
