"""How far each running run is and how fast it goes: one row a run."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from depthscope.store import Store

from .listing import length_of
from .text import plain
from .view import View

__all__ = ["live_table", "pace_query"]

WINDOW = 50
"""Newest steps that the pace is taken over."""

_PACE = f"""
    SELECT run, max(step) AS step, arg_max(loss, step) AS loss,
        (max(step) - min(step)) / nullif(max(wall_time) - min(wall_time), 0) AS steps_per_second,
        (max(tokens) - min(tokens)) / nullif(max(wall_time) - min(wall_time), 0) AS tokens_per_second
    FROM (
        SELECT *, row_number() OVER (PARTITION BY run ORDER BY step DESC) AS age FROM steps
        WHERE run IN (SELECT unnest($runs))
    ) WHERE age <= {WINDOW} GROUP BY run ORDER BY run
"""


def pace_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, step, loss, steps_per_second, tokens_per_second over the newest steps of each run on screen."""
    return store.sql(_PACE, {"runs": list(view.runs)})


def live_table(runs: pd.DataFrame, pace: pd.DataFrame, now: datetime | None = None) -> pd.DataFrame:
    """Rows of `run_table` with their pace: State, Strategy, Run, Step, Progress (%), Loss, Steps/s, Tokens/s, Left,
    Heard from; without columns
    that hold nothing."""
    now = now or datetime.now(UTC).replace(tzinfo=None)
    known = {row["run"]: row for row in pace.to_dict("records")}
    rows = [_row(row, known.get(row["run"], {}), now) for row in runs.to_dict("records")]
    columns = ["State", "Strategy", "Run", "Step", "Progress", "Loss", "Steps/s", "Tokens/s", "Left", "Heard from"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.replace("", None).dropna(axis="columns", how="all")


def _row(run: Mapping[Any, Any], pace: Mapping[Any, Any], now: datetime) -> Sequence[object]:
    step = pace.get("step", run["last_step"])
    length, speed = length_of(run["config"]), pace.get("steps_per_second")
    done = None if length is None or pd.isna(step) else min(100.0, 100 * (int(step) + 1) / length)
    left = "" if length is None or not speed or pd.isna(speed) else duration((length - int(step) - 1) / speed)
    strategy = run["strategy"] if isinstance(run["strategy"], str) and run["strategy"] else "unknown"
    heard = None if pd.isna(run["heartbeat_at"]) else max(0.0, (now - run["heartbeat_at"]).total_seconds())
    running = run["status"] == "running"
    return (
        plain(run["status"]),
        plain(strategy),
        plain(run["run"]),
        None if pd.isna(step) else int(step),
        done,
        pace.get("loss"),
        speed,
        pace.get("tokens_per_second"),
        left if running else "",
        f"{duration(heard)} ago" if heard is not None else "",
    )


def duration(seconds: float) -> str:
    """'42 s', '12 min', '3.4 h', '5 days'."""
    if not math.isfinite(seconds):
        return ""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
