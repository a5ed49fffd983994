"""What the figures of the held-out measurements share: the rows of the newest evaluation, and what counts as signal.

A difference of losses within two standard errors is noise: figures draw it hollow or leave it out, never as a value
among others. The errors are paired (same tokens with and without the block) and clustered by sequence.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from depthscope.store import Store

from ..view import View

__all__ = ["ERRORS", "bars_note", "evaluated_steps", "interventions", "is_signal", "named", "newest", "when"]

ERRORS = 2.0
"""Standard errors that a difference must exceed to be drawn as a signal: about 95 % for one comparison."""

ERROR_BARS = "Error bars are two standard errors (paired, by sequence); what lies within them is drawn hollow."


def interventions(store: Store, view: View, runs: Iterable[str], action: Iterable[str] | str) -> pd.DataFrame:
    """The rows of `Store.interventions` of each run's newest evaluation up to the view's step, with `strategy`.

    Newest by action: one evaluation may have measured less than another.
    """
    frame = store.interventions(runs=list(runs), action=action, steps=(0, view.step))
    return named(store, newest(frame[frame["stack"] == view.stack], "action"))


def newest(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Of each run (and each value of the columns `by`) the rows of its last step."""
    keys = ["run", *by]
    if frame.empty:
        return frame
    return frame[frame["step"] == frame.groupby(keys)["step"].transform("max")].reset_index(drop=True)


def named(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the strategy of each run."""
    return frame.merge(store.runs()[["run", "strategy"]], on="run", how="left")


def evaluated_steps(store: Store, view: View) -> pd.DataFrame:
    """The steps with measurements that not every run has: columns run, step, table, ascending.

    `table`: 'interventions' or 'sparsity' of held-out data, 'masks' of a sparse training.
    """
    sql = """
        SELECT DISTINCT run, step, 'interventions' AS "table" FROM interventions WHERE run IN (SELECT unnest($runs))
        UNION SELECT DISTINCT run, step, 'sparsity' FROM sparsity WHERE run IN (SELECT unnest($runs))
        UNION SELECT DISTINCT run, step, 'sparsity' FROM sparsity_layers WHERE run IN (SELECT unnest($runs))
        UNION SELECT DISTINCT run, step, 'masks' FROM scalars
            WHERE name = 'mask_density' AND run IN (SELECT unnest($runs))
        ORDER BY run, step, "table"
    """
    return store.sql(sql, {"runs": list(view.runs)})


def is_signal(delta: float, error: float) -> bool:
    """Whether a difference exceeds its noise; one without an error (a single sequence) does not."""
    return bool(np.isfinite(delta) and np.isfinite(error) and abs(delta) > ERRORS * error)


def when(frame: pd.DataFrame) -> str:
    """'On 16,384 held-out tokens at step 400.', or '' without rows."""
    if frame.empty:
        return ""
    tokens, steps = sorted(set(frame["tokens"].dropna())), sorted(set(frame["step"]))
    on = f"On {_span(tokens)} held-out tokens at " if tokens else "At "
    return f"{on}step{'s' if len(steps) > 1 else ''} {_span(steps)}."


def _span(values: list[int]) -> str:
    first, last = int(values[0]), int(values[-1])
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def bars_note(deltas: Iterable[tuple[float, float]]) -> str:
    """What error bars mean, and how many of the (difference, error) pairs are no numbers."""
    pairs = list(deltas)
    broken = sum(not np.isfinite(delta) for delta, _ in pairs)
    told = [ERROR_BARS] if pairs else []
    if broken:
        told.append(f"{broken:,} {'difference is' if broken == 1 else 'differences are'} NaN or Inf.")
    return " ".join(told)
