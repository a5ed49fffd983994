"""The table of the live page: pace, time left, and when a run was heard from."""

from datetime import datetime, timedelta

import pandas as pd
import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.live_table import duration, live_table, pace_query
from depthscope.app.view import View

NOW = datetime(2026, 11, 25, 12)


def row(**fields):
    usual = {
        "run": "a",
        "strategy": "pre",
        "status": "running",
        "last_step": 99,
        "config": '{"steps": 400}',
        "heartbeat_at": NOW - timedelta(seconds=3),
    }
    return pd.DataFrame([{**usual, **fields}])


def test_progress_and_time_left_come_from_the_pace():
    pace = pd.DataFrame([{"run": "a", "step": 99, "loss": 2.5, "steps_per_second": 2.0, "tokens_per_second": 8192.0}])
    (shown,) = live_table(row(), pace, NOW).to_dict("records")
    assert shown == {
        "State": "running",
        "Strategy": "pre",
        "Run": "a",
        "Step": 99,
        "Progress": 25.0,
        "Loss": 2.5,
        "Steps/s": 2.0,
        "Tokens/s": 8192.0,
        "Left": "2 min",
        "Heard from": "3 s ago",
    }


def test_a_run_that_told_no_length_and_one_that_ended_have_nothing_left():
    pace = pd.DataFrame([{"run": "a", "step": 99, "loss": 2.5, "steps_per_second": 2.0, "tokens_per_second": 1.0}])
    assert "Left" not in live_table(row(config=None), pace, NOW)
    assert "Left" not in live_table(row(status="finished"), pace, NOW)
    assert "Steps/s" not in live_table(row(), pace.iloc[:0], NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (432000, "5 days"), (float("inf"), "")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_pace_is_that_of_the_newest_steps(tmp_path):
    store = make_store(tmp_path / "store", [SyntheticRun("now", "pre", status="running")], layers=2, steps=8)
    (pace,) = pace_query(store, View(runs=("now",))).to_dict("records")
    assert pace["step"] == 79
    assert pace["steps_per_second"] == pytest.approx(10.0, rel=1e-3)
    assert pace["tokens_per_second"] == pytest.approx(40_960.0, rel=1e-3)
