import pandas as pd
import pytest

from depthscope.app import judging
from depthscope.app import verdict_file as verdict_memory
from depthscope.app.judging import judge, judged
from depthscope.app.verdict_file import verdict_file


class Store:
    path = "/nowhere"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the diagnoses were asked of; run r1 is critical, the others have no finding."""
    calls = []

    def findings(store, runs):
        calls.append(list(runs))
        rows = [(run, "critical") for run in runs if run == "r1"]
        return pd.DataFrame(rows, columns=["run", "severity"])

    monkeypatch.setattr(judging, "findings_frame", findings)
    monkeypatch.setattr(judging, "TOGETHER", 8)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    judging._known.clear()
    yield calls
    judging._known.clear()


def table(count, step=99, status="finished", layers=12):
    return pd.DataFrame(
        {
            "run": [f"r{n}" for n in range(count)],
            "started_at": "2026",
            "status": status,
            "last_step": step,
            "n_layers": layers,
        }
    )


def test_every_run_is_judged_once_those_on_screen_first(asked):
    assert list(judge(Store, table(20), ["r3"])) == [(8, 20), (16, 20), (20, 20)]
    assert asked[0][:3] == ["r3", "r19", "r18"]
    assert sorted(run for part in asked for run in part) == sorted(table(20)["run"])
    assert judged(Store, table(20)) == {"r1": "critical"}
    assert not list(judge(Store, table(20))) and len(asked) == 3


def test_large_runs_are_judged_in_smaller_parts(asked):
    assert list(judge(Store, table(5, 199_999, layers=4))) == [(2, 5), (4, 5), (5, 5)]
    assert list(judge(Store, table(3, 10**9, "failed"))) == [(1, 3), (2, 3), (3, 3)]


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


def test_another_server_knows_what_was_judged(asked):
    assert list(judge(Store, table(3)))
    judging._known.clear()
    assert not list(judge(Store, table(3))) and len(asked) == 1
    assert judged(Store, table(3)) == {"r1": "critical"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"rules": "of another version", "verdicts": [["r1", "2026", "finished", 48, "ok"]]}',
        '{"rules": RULES, "verdicts": [["r1"]]}',
        '{"rules": RULES, "verdicts": 3}',
        '{"rules": RULES, "verdicts": [["r1", "2026", "finished", 48, "<b>"]]}',
    ],
)
def test_a_file_that_does_not_read_is_no_memory(asked, content):
    file = verdict_file(str(Store.path))
    file.write_text(content.replace("RULES", f'"{verdict_memory._rules()}"'))
    assert list(judge(Store, table(2))) == [(2, 2)]


def test_a_cache_that_cannot_be_written_is_no_obstacle(asked, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("no space")

    monkeypatch.setattr(verdict_memory.tempfile, "mkstemp", full)
    assert list(judge(Store, table(2))) == [(2, 2)]
    assert judged(Store, table(2)) == {"r1": "critical"}
