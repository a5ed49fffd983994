import pandas as pd
import pytest

from depthscope.app import judging
from depthscope.app.judging import judge, judged


class Store:
    path = "/nowhere"


@pytest.fixture
def asked(monkeypatch):
    """What the diagnoses were asked of; run r1 is critical, the others have no finding."""
    calls = []

    def findings(store, runs):
        calls.append(list(runs))
        rows = [(run, "critical") for run in runs if run == "r1"]
        return pd.DataFrame(rows, columns=["run", "severity"])

    monkeypatch.setattr(judging, "findings_frame", findings)
    judging._known.clear()
    yield calls
    judging._known.clear()


def table(count, step=99, status="finished"):
    return pd.DataFrame(
        {"run": [f"r{n}" for n in range(count)], "started_at": "2026", "status": status, "last_step": step}
    )


def test_every_run_is_judged_once_those_on_screen_first(asked):
    assert list(judge(Store, table(20), ["r3"])) == [(8, 20), (16, 20), (20, 20)]
    assert asked[0][:3] == ["r3", "r19", "r18"]
    assert sorted(run for part in asked for run in part) == sorted(table(20)["run"])
    assert judged(Store, table(20)) == {"r1": "critical"}
    assert not list(judge(Store, table(20))) and len(asked) == 3


def test_a_slice_of_time_judges_at_least_one_part(asked, monkeypatch):
    monkeypatch.setattr(judging, "SLICE", -1.0)
    assert list(judge(Store, table(20))) == [(8, 20)] and len(asked) == 1
    assert list(judge(Store, table(20))) == [(16, 20)] and len(asked) == 2


def test_a_run_is_judged_again_when_it_ends_or_has_grown(asked):
    assert list(judge(Store, table(2, 1000, "running")))
    assert not list(judge(Store, table(2, 1001, "running")))
    assert list(judge(Store, table(2, 1200, "running")))
    assert list(judge(Store, table(2, 1200, "finished")))


def test_a_run_that_has_not_taken_a_step_has_a_state_too(asked):
    assert list(judge(Store, table(1, None)))
