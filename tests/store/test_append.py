"""Rows that are added to a run afterwards: nothing of it is replaced, and what is known of it stays."""

from pathlib import Path

import pytest
from stores import stats, write_run

from depthscope.store import Distance, RunInfo, RunMissing, ingest, open_run, open_store


def append(root: Path, *steps: int, close: bool = True):
    writer = open_run(root, RunInfo("a"), append=True)
    writer.write(*(Distance(step, "main", 1, 1, 0.25) for step in steps))
    if close:
        writer.close()
    return writer


def state(root: Path) -> tuple[list[int], list[int], list[object]]:
    store = open_store(root)
    columns = ["strategy", "status", "first_step", "last_step", "started_at", "ended_at"]
    return list(store.layer_stats().step), sorted(store.distances().step), list(store.runs()[columns].iloc[0])


@pytest.mark.parametrize("folded", [False, True])
def test_rows_are_added_and_none_replaced(root, folded):
    write_run(root)
    if folded:
        ingest(root)
    before = state(root)
    append(root, 0, 2)
    append(root, 1)
    for _ in range(2):
        assert state(root) == (before[0], [0, 1, 2], before[2])
        ingest(root)


def test_a_run_that_goes_on_meanwhile_keeps_the_last_word(root):
    first = open_run(root, RunInfo("a", strategy="pre"))
    first.write(stats(0, 1))
    append(root, 0)
    ingest(root)
    first.write(stats(1, 1), RunInfo("a", strategy="post"))
    first.close("failed")
    for _ in range(2):
        rows, distances, run = state(root)
        assert (rows, distances) == ([0, 1], [0])
        assert run[:4] == ["post", "failed", 0, 1]
        ingest(root)


def test_a_resumed_run_replaces_what_was_appended_from_there_on(root):
    write_run(root, steps=range(4))
    append(root, 1, 3)
    ingest(root)
    write_run(root, steps=range(2, 5), resume=True, from_step=2)
    for _ in range(2):
        rows, distances, _ = state(root)
        assert sorted(set(rows)) == [0, 1, 2, 3, 4]
        assert distances == [1]
        ingest(root)


def test_resuming_goes_on_after_the_runs_own_last_step(root):
    write_run(root, steps=range(3))
    append(root, 2)
    writer = open_run(root, RunInfo("a"), resume=True)
    writer.close()
    assert writer.from_step == 3


def test_there_must_be_a_run(root):
    with pytest.raises(RunMissing, match="append"):
        append(root, 0)
    assert list(open_store(root).runs()["run"]) == []
