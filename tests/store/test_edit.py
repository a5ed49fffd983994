"""Removing and renaming runs."""

from datetime import timedelta
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from stores import stats, write_run

from depthscope.store import (
    DepthscopeError,
    RunInfo,
    RunMissing,
    RunNameTaken,
    RunRunning,
    Step,
    ingest,
    open_run,
    open_store,
    remove_runs,
    rename_run,
)
from depthscope.store.claims import attempts_of

HOSTILE = "a'; DROP TABLE runs; --"


def names(root: Path) -> list[str]:
    return list(open_store(root).runs()["run"])


class TestRemove:
    def test_a_run_goes_with_all_its_rows_and_its_name(self, root: Path) -> None:
        write_run(root, HOSTILE)
        write_run(root, "b")
        ingest(root)
        write_run(root, "c")
        assert remove_runs(root, [HOSTILE, "c"]) == [HOSTILE, "c"]
        store = open_store(root)
        assert names(root) == ["b"]
        assert set(store.layer_stats()["run"]) == set(store.attempts()["run"]) == {"b"}
        write_run(root, HOSTILE, range(1))
        assert len(open_store(root).layer_stats(HOSTILE)) == 2

    def test_all_or_none(self, root: Path) -> None:
        write_run(root)
        with pytest.raises(RunMissing, match="got 'nobody'"):
            remove_runs(open_store(root), ["a", "nobody"])
        assert names(root) == ["a"]

    def test_a_running_run_stays(self, root: Path) -> None:
        writer = open_run(root, RunInfo("a"))
        with pytest.raises(RunRunning, match="end it first"):
            remove_runs(root, "a")
        with pytest.raises(RunRunning):
            rename_run(root, "a", "b")
        writer.close()
        assert remove_runs(root, "a") == ["a"]

    def test_a_run_that_died_can_go(self, root: Path) -> None:
        writer = open_run(root, RunInfo("a"))
        with mock.patch("depthscope.store.edit._ALIVE", timedelta(0)):
            remove_runs(root, "a")
        assert names(root) == []
        writer.close()

    def test_a_name_without_rows_is_freed(self, root: Path) -> None:
        write_run(root)
        for segment in (root / "spool").glob("*-0-*.parquet"):
            segment.unlink()
        assert remove_runs(root, "a") == ["a"]
        open_run(root, RunInfo("a")).close()

    def test_a_failure_changes_nothing(self, root: Path) -> None:
        write_run(root)
        with (
            mock.patch("depthscope.store.edit._tables_of_runs", return_value=["runs", "nonsense"]),
            pytest.raises(DepthscopeError, match="cannot write"),
        ):
            remove_runs(root, "a")
        assert names(root) == ["a"]
        assert attempts_of(root / "claims", "a")


class TestRename:
    def test_a_run_keeps_everything_but_its_name(self, root: Path) -> None:
        writer = open_run(root, RunInfo("a", tags=("x", "y"), config={"lr": 0.1}))
        writer.write(stats(0, 1, variance=float("nan")), Step(0, 1.0, loss=2.0))
        writer.close()
        before = open_store(root).runs().drop(columns="run")
        assert rename_run(root, "a", HOSTILE) == HOSTILE
        store = open_store(root)
        assert names(root) == [HOSTILE]
        assert store.runs().drop(columns="run").astype(str).equals(before.astype(str))
        assert set(store.steps()["run"]) == set(store.layer_stats()["run"]) == {HOSTILE}
        open_run(root, RunInfo("a")).close()

    def test_a_renamed_run_can_be_resumed(self, root: Path) -> None:
        first = write_run(root)
        rename_run(root, "a", "b")
        second = open_run(root, RunInfo("b"), resume=True, from_step=1)
        assert second.attempt > first.attempt
        second.write(stats(1, 1))
        second.close()
        assert open_store(root).layer_stats("b")["step"].tolist() == [0, 1, 0]
        ingest(root)
        assert len(open_store(root).layer_stats()) == 3

    def test_a_taken_name_is_an_error(self, root: Path) -> None:
        write_run(root)
        write_run(root, "b")
        with pytest.raises(RunNameTaken):
            rename_run(root, "a", "b")
        with pytest.raises(DepthscopeError, match="empty"):
            rename_run(root, "a", "")
        with pytest.raises(RunMissing):
            rename_run(root, "nobody", "c")
        assert names(root) == ["a", "b"]

    def test_a_failure_gives_the_new_name_back(self, root: Path) -> None:
        write_run(root)
        with (
            mock.patch("depthscope.store.edit._in_transaction", side_effect=duckdb.IOException("disk full")),
            pytest.raises(DepthscopeError, match="disk full"),
        ):
            rename_run(root, "a", "b")
        assert names(root) == ["a"]
        open_run(root, RunInfo("b")).close()
