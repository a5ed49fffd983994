"""What tests of deliveries share: a run that is hard to carry, and all rows of a store to compare."""

import os
from pathlib import Path

import pandas as pd
from stores import stats

from depthscope.store import Event, RunInfo, Step, Store, open_run

__all__ = ["REQUIRED", "hostile", "rows", "same"]

REQUIRED = "DEPTHSCOPE_REQUIRE_LAKE" in os.environ  # a test that would be skipped fails
TABLES = ("runs", "attempts", "metrics", "layers", "events", "layer_stats", "steps", "scalars")


def rows(store: Store) -> dict[str, pd.DataFrame]:
    """Every row of a store, table by table."""
    found = {}
    for table in TABLES:
        frame = getattr(store, table)().drop(columns=["heartbeat_at"], errors="ignore")
        found[table] = frame.sort_values(list(frame.columns), key=lambda c: c.astype(str)).reset_index(drop=True)
    return found


def same(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    """Fail where two stores have other rows."""
    for table in TABLES:
        a, b = left[table], right[table]
        pd.testing.assert_frame_equal(a, b[a.columns], check_dtype=False, obj=table)


def hostile(root: Path) -> None:
    """A run with everything that is hard to carry, resumed once."""
    writer = open_run(root, RunInfo("it's <b>", "pre", config={"a": float("nan"), "b": "'"}, tags=("x", "y'")))
    writer.write(*(Step(i, 1.0, loss=float("inf") if i == 2 else 1.5 / (i + 1)) for i in range(5)))
    writer.write(*(stats(i, 1, **{"my metric": float(i), "variance": float("nan")}) for i in range(5)))
    writer.close()
    writer = open_run(root, RunInfo("it's <b>"), resume=True, from_step=3)
    writer.write(*(Step(i, 2.0, loss=9.0) for i in range(3, 6)), Event(3, "resume", "goes on at step 3"))
    writer.close()
