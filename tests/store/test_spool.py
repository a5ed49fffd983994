import errno
import math
import time
from itertools import pairwise
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from stores import flushed, script, stats, wait_until, write_run

from depthscope.store import (
    DepthscopeError,
    Event,
    Layer,
    Massive,
    Metric,
    RunInfo,
    RunMissing,
    RunNameTaken,
    Scalar,
    Step,
    open_run,
    open_store,
)

NAMES = ['it\'s "quoted"; DROP TABLE runs;--', "🤖 é ١", "../../etc/passwd", "x" * 10_000, " ", "a\nb", "%s{}", "a\0b"]


def test_every_record_comes_back_as_it_was(root: Path) -> None:
    writer = open_run(root, RunInfo("a", strategy="pre", seed=3, tags=("x", "y"), config={"lr": 0.1, "nan": math.nan}))
    writer.write(
        Layer("main", 1, "blocks.0", "Block", 10, "pre"),
        Metric("variance", "1", "Variance", "E[x^2] - E[x]^2", "paper", "mean"),
        stats(0, 1, variance=1.5),
        Massive(0, "train", "main", 1, 1, 9.0, 0.5, 2, 3, 4, 5),
        Step(0, 100.0, tokens=8, loss=2.5, lr=0.1, sampled=True),
        Scalar(0, "val/loss", 2.25),
        Event(0, "note", "hello"),
    )
    writer.write(RunInfo("a", model="GPT", strategy="peri"))
    writer.close()
    store = open_store(root)
    run = store.sql("SELECT strategy, model, seed, tags, config, status, first_step, last_step FROM runs").to_dict(
        "records"
    )
    assert [dict(row, tags=list(row["tags"])) for row in run] == [
        {
            "strategy": "peri",
            "model": "GPT",
            "seed": 3,
            "tags": ["x", "y"],
            "config": '{"lr": 0.1, "nan": "nan"}',
            "status": "finished",
            "first_step": 0,
            "last_step": 0,
        }
    ]
    assert store.layers().to_dict("split")["data"] == [["a", "main", 1, "blocks.0", "Block", 10, "pre", False]]
    assert store.metrics().to_dict("split")["data"] == [
        ["variance", "1", "Variance", "E[x^2] - E[x]^2", "paper", "mean"]
    ]
    assert store.layer_stats().to_dict("split")["data"] == [["a", 0, "train", "main", 1, "resid_post", 1.5]]
    assert store.massive().to_dict("split")["data"] == [["a", 0, "train", "main", 1, 1, 9.0, 0.5, 2, 3, 4, 5]]
    assert store.steps(columns=["tokens", "loss"]).to_dict("split")["data"] == [["a", 0, 8, 2.5]]
    assert store.scalars().to_dict("split")["data"] == [["a", 0, "val/loss", 2.25]]
    assert store.events().to_dict("split")["data"] == [["a", 0, "note", "hello"]]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_run_may_have_any_name(root: Path, name: str) -> None:
    write_run(root, name, range(1))
    store = open_store(root)
    assert list(store.runs()["run"]) == [name]
    assert len(store.layer_stats(runs=[name])) == 2
    assert {path.parent for path in root.rglob("*") if path.is_file()} == {root / "spool", root / "claims"}


def test_text_that_is_not_unicode_is_made_so(root: Path) -> None:
    write_run(root, "a\ud800b", range(1))
    assert list(open_store(root).runs()["run"]) == ["a?b"]


def test_a_taken_name_is_an_error_unless_resumed(root: Path) -> None:
    write_run(root)
    with pytest.raises(RunNameTaken):
        open_run(root, RunInfo("a"))
    writer = open_run(root, RunInfo("a"), resume=True)
    assert writer.from_step == 3
    writer.close()


def test_an_empty_name_is_an_error(root: Path) -> None:
    with pytest.raises(DepthscopeError, match="expected a run name"):
        open_run(root, RunInfo(""))
    assert not root.exists()


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DepthscopeError, match="cannot write to the store") as raised:
        open_run(tmp_path / "file", RunInfo("a"))
    assert "\n" not in str(raised.value)


def test_a_run_that_cannot_be_written_leaves_its_name_free(root: Path) -> None:
    with (
        mock.patch("depthscope.store.spool.write_segment", side_effect=OSError("No space left on device")),
        pytest.raises(DepthscopeError, match="No space left"),
    ):
        open_run(root, RunInfo("a"))
    open_run(root, RunInfo("a")).close()


def test_further_ranks_join_the_attempt(root: Path) -> None:
    with pytest.raises(RunMissing):
        open_run(root, RunInfo("a"), rank=1)
    first = open_run(root, RunInfo("a"), from_step=5)
    second = open_run(root, RunInfo("a"), rank=1)
    assert (second.attempt, second.from_step) == (first.attempt, 5)
    second.write(stats(5, 1))
    second.close()
    first.close()
    store = open_store(root)
    assert len(store.layer_stats()) == 1
    assert list(store.attempts()["from_step"]) == [5]


def test_closing_starts_one_ingest(root: Path, started: mock.Mock) -> None:
    writer = open_run(root, RunInfo("a"))
    writer.close("failed")
    writer.close()
    writer.write(stats(0, 1))
    assert started.call_args_list == [mock.call(root)]
    assert list(open_store(root).runs()["status"]) == ["failed"]


def test_many_waiting_segments_start_an_ingest(root: Path, started: mock.Mock, quick: None) -> None:
    with mock.patch("depthscope.store.spool._MANY_SEGMENTS", 3):
        writer = open_run(root, RunInfo("a"))
        for step in range(4):
            writer.write(stats(step, 1))
            wait_until(lambda: flushed(writer))
        wait_until(lambda: started.called)
        writer.close()
    assert started.call_count == 2  # one for the crowd, one for the end


def test_rows_arrive_while_the_run_goes_on(root: Path, quick: None) -> None:
    writer = open_run(root, RunInfo("a"))
    writer.write(stats(0, 1))
    store = open_store(root)
    wait_until(lambda: len(store.layer_stats()) == 1)
    assert list(store.runs()["status"]) == ["running"]
    writer.close()


def test_a_run_with_nothing_to_say_keeps_its_heart_beating(root: Path, quick: None) -> None:
    with mock.patch("depthscope.store.spool._HEARTBEAT", 0.02):
        writer = open_run(root, RunInfo("a"))
        store = open_store(root)
        first = store.runs()["heartbeat_at"][0]
        wait_until(lambda: store.runs()["heartbeat_at"][0] > first)
        writer.close()
    assert store.layer_stats().empty


def test_a_folder_that_vanishes_and_comes_back(root: Path, quick: None, capfd: pytest.CaptureFixture[str]) -> None:
    writer = open_run(root, RunInfo("a"))
    with mock.patch("depthscope.store.spool._BACKLOG", 100):
        wait_until(lambda: flushed(writer))
        (root / "spool").rename(root / "gone")
        for step in range(1000):
            writer.write(stats(step, 1))
            if step % 20 == 0:
                wait_until(lambda: not writer._incoming)
            assert (
                len(writer._incoming) + len(writer._backlog) <= 101
            )  # one may be on its way from the one to the other
        writer.write(Layer("main", 1, "blocks.0", "Block", 10, "pre"))
        (root / "gone").rename(root / "spool")
        wait_until(lambda: writer._failing_since is None)
        writer.close()
    store = open_store(root)
    steps = list(store.layer_stats()["step"])
    assert 8 <= len(steps) <= 100
    assert steps[0] == 0
    assert max(after - before for before, after in pairwise(steps)) <= 200, "thinned out evenly, not cut off"
    assert steps[-1] >= 900
    assert len(store.layers()) == 1
    (text,) = store.events()["text"]
    assert text.startswith("the store could not be written from ")
    assert f"; {1000 - len(steps)} records lost, thinned out between steps " in text
    # Warnings are errors in this process: they were printed, once each, and raised nowhere.
    assert capfd.readouterr().err.count("cannot write to") == 1


FULL = {
    "full": duckdb.IOException("Could not write file: No space left on device"),
    "read-only": OSError(errno.EROFS, "Read-only file system"),
    "forbidden": PermissionError(errno.EACCES, "Permission denied"),
}


@pytest.mark.parametrize("trouble", FULL)
def test_a_disk_that_refuses_for_a_while(
    root: Path, quick: None, trouble: str, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = open_run(root, RunInfo("a"))
    with mock.patch("depthscope.store.spool.write_segment", side_effect=FULL[trouble]):
        writer.write(*(stats(step, 1) for step in range(50)))
        wait_until(lambda: writer._failing_since is not None)
    wait_until(lambda: writer._failing_since is None)
    writer.close()
    store = open_store(root)
    assert list(store.layer_stats()["step"]) == list(range(50)), "a short outage loses nothing"
    assert store.events()["text"][0].endswith("; 0 records lost")


def test_what_was_never_written_is_told_at_the_end(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = open_run(root, RunInfo("a"))
    with mock.patch("depthscope.store.spool.write_segment", side_effect=FULL["full"]):
        writer.write(stats(0, 1))
        writer.close()
    assert "are lost" in capfd.readouterr().err
    assert open_store(root).layer_stats().empty


def test_what_no_column_can_hold_is_dropped_alone(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = open_run(root, RunInfo("a", n_params=2**70, config={1: {2, 3}, "self": object}))
    writer.write(
        stats(0, 1, variance=1.0, run=2.0, _SEQ=3.0, text=4.0),
        stats(1, 1, variance="many"),  # type: ignore[arg-type]
        Step(2**80, 0.0),
        Step(3, 0.0, loss=1.0),
        "not a record",  # type: ignore[arg-type]
        stats(4, 1, variance=1e300, value=-1e39),
    )
    writer.close()
    store = open_store(root)
    rows = store.layer_stats(columns=["variance", "value"])
    assert rows[["step", "variance", "value"]].fillna(0).to_numpy().tolist() == [[0, 1.0, 0], [4, math.inf, -math.inf]]
    assert list(store.steps()["step"]) == [3]
    assert capfd.readouterr().err.count("not stored") == 7
    assert store.events()["kind"].tolist() == ["dropped"] * 7


def test_metrics_that_differ_in_case_are_one(root: Path) -> None:
    writer = open_run(root, RunInfo("a"))
    writer.write(stats(0, 1, Odd=1.0), stats(0, 2, odd=2.0))
    writer.close()
    assert list(open_store(root).layer_stats()["Odd"]) == [1.0, 2.0]


RUN = """
    import sys
    from depthscope.store import LayerStats, RunInfo, open_run
    writer = open_run(sys.argv[1], RunInfo("a"))
    writer.write(LayerStats(0, "train", "main", 1, "resid_post", {"variance": 1.0}))
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", "interrupted"),
        ("raise KeyboardInterrupt", "interrupted"),
        ("sys.exit(3)", "interrupted"),
        ("1 / 0", "failed"),
    ],
)
def test_an_interpreter_that_ends_without_close_writes_everything(root: Path, ending: str, status: str) -> None:
    ended = script(RUN + "    " + ending, root)
    assert "Exception ignored" not in ended.stderr
    store = open_store(root)
    assert list(store.runs()["status"]) == [status]
    assert len(store.layer_stats()) == 1


def test_a_forked_child_writes_nothing_and_ends(root: Path) -> None:
    ended = script(
        RUN
        + """
    import os, warnings
    warnings.simplefilter("ignore")
    child = os.fork()
    writer.write(LayerStats(1 + (child == 0), "train", "main", 1, "resid_post", {"variance": 2.0}))
    if child == 0:
        writer.close()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    writer.close()
    """,
        root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    store = open_store(root)
    assert list(store.layer_stats()["step"]) == [0, 1]
    assert list(store.runs()["status"]) == ["finished"]


def test_write_is_quick_whatever_the_disk_does(root: Path) -> None:
    with mock.patch.multiple("depthscope.store.spool", _TICK=0.001, _INTERVAL=0.0):
        writer = open_run(root, RunInfo("a"))
        with mock.patch("depthscope.store.spool.write_segment", side_effect=lambda *_: time.sleep(0.5)):
            writer.write(stats(0, 1))
            wait_until(lambda: bool(writer._backlog))
            start = time.perf_counter()
            writer.write(*(stats(step, 1) for step in range(1, 100)))
            assert time.perf_counter() - start < 0.25
            assert writer._backlog, "the disk was still busy"
        writer.close()
