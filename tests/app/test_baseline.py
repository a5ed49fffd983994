import pandas as pd
import pytest

from depthscope.app.baseline import baseline_differences
from depthscope.app.configuration import configuration_differences
from depthscope.app.figures import TABLES
from depthscope.app.view import View

RUNS = pd.DataFrame(
    {
        "run": ["a", "<b>"],
        "strategy": ["pre", "pre"],
        "seed": [0.0, 1.0],
        "config": ['{"lr": 0.1, "model": {"width": 8}}', '{"lr": 0.2, "model": {"width": 8}, "x\\u202e": 1}'],
    }
)


def test_only_settings_that_differ():
    frame = configuration_differences(RUNS)
    assert list(frame.columns) == ["Setting", "a", "<b>"]
    assert frame.to_numpy().tolist() == [["seed", "0", "1"], ["lr", "0.1", "0.2"], ["x�", "–", "1"]]


def test_equal_runs_have_no_differing_setting():
    assert configuration_differences(RUNS.iloc[:1]).empty
    assert configuration_differences(RUNS.iloc[:0]).empty


def test_differences_from_the_baseline(five):
    summary = TABLES["summary"].record(five, View(runs=("pre-0", "post-0", "peri-0")))
    whole = TABLES["summary"].table(summary).set_index("Run")
    frame = baseline_differences(summary, "post-0")
    assert list(frame["Run"]) == ["pre-0", "peri-0"]
    assert frame["Last loss"][0] == pytest.approx(whole["Last loss"]["pre-0"] - whole["Last loss"]["post-0"])
    assert baseline_differences(summary, "gone").empty
