"""A small loss curve of every run of the store, for its table."""

from collections.abc import Mapping, Sequence

import pandas as pd

from depthscope.store import Store

from .view import View

__all__ = ["POINTS", "sparklines", "sparklines_query"]

POINTS = 40

_QUERY = f"""
    WITH ends AS (SELECT run, min(step) AS first, max(step) - min(step) + 1 AS length FROM steps GROUP BY run)
    SELECT run, list(loss ORDER BY bucket) AS losses FROM (
        SELECT run, (step - first) * {POINTS} // length AS bucket, arg_max(loss, step) AS loss
        FROM steps JOIN ends USING (run) WHERE isfinite(loss) GROUP BY run, bucket
    ) GROUP BY run
"""


def sparklines_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run and losses of all runs: the newest finite loss of each of POINTS stretches of steps."""
    return store.sql(_QUERY)


def sparklines(frame: pd.DataFrame) -> Mapping[str, Sequence[float]]:
    """Run -> its losses, first step first."""
    return {
        str(run): [float(loss) for loss in losses] for run, losses in zip(frame["run"], frame["losses"], strict=True)
    }
