"""Deliveries to DuckLake on PostgreSQL: the same rows as in a store of its own, once."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from deliveries import hostile, rows, same
from stores import write_run

from depthscope.store import (
    Delivery,
    DepthscopeError,
    LayerStats,
    NotAStore,
    RunInfo,
    RunNameTaken,
    StoreBusy,
    check_store,
    compact,
    compact_lake,
    deliver,
    ingest,
    open_run,
    open_store,
    remove_runs,
    rename_run,
    run_table,
    series,
)
from depthscope.store.targets import ducklake

pytestmark = pytest.mark.usefixtures("started")


def test_a_lake_answers_as_a_store_does(url, data, tmp_path):
    for root in (tmp_path / "own", tmp_path / "to lake"):
        hostile(root)
    ingest(tmp_path / "own")
    assert deliver(tmp_path / "to lake", url, data).folded == 4
    own, lake = open_store(tmp_path / "own"), open_store(url)
    for table, frame in rows(own).items():
        found = rows(lake)[table]
        assert len(found) == len(frame), table
    assert lake.steps().loss.tolist() == own.steps().loss.tolist()
    assert lake.layer_stats(columns=["my metric"])["my metric"].tolist() == [0.0, 1.0, 2.0]
    assert lake.sql("SELECT count(*) AS n FROM layer_stats WHERE isnan(variance)").n.tolist() == [3]
    pd.testing.assert_frame_equal(series(lake, "it's <b>", "loss"), series(own, "it's <b>", "loss"), check_dtype=False)
    assert run_table(lake).run.tolist() == ["it's <b>"]


def test_a_second_delivery_brings_what_is_new_and_nothing_twice(url, data, tmp_path):
    write_run(tmp_path / "s")
    first = deliver(tmp_path / "s", url, data)
    assert (first.folded > 0, first.adopted) == (True, 0)
    assert deliver(tmp_path / "s", url) == Delivery()
    write_run(tmp_path / "s", "b")
    assert deliver(tmp_path / "s", url).folded > 0
    assert open_store(url).layer_stats().groupby("run").size().to_dict() == {"a": 6, "b": 6}


def test_segments_that_were_delivered_and_not_removed_do_not_double(url, data, tmp_path, monkeypatch):
    write_run(tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        deliver(tmp_path / "s", url, data)
    assert deliver(tmp_path / "s", url) == Delivery()
    assert len(open_store(url).layer_stats()) == 6
    assert len(list((tmp_path / "s" / "spool").glob("*.parquet"))) == 1


def test_what_the_store_held_before_goes_first_and_once(url, data, tmp_path):
    write_run(tmp_path / "s")
    ingest(tmp_path / "s")
    write_run(tmp_path / "s", "b")
    before = rows(open_store(tmp_path / "s"))
    done = deliver(tmp_path / "s", url, data)
    assert done.adopted > 6 and done.folded > 0
    same(before, rows(open_store(url)))
    assert deliver(tmp_path / "s", url) == Delivery()
    assert "go to ducklake:postgres" in (ingest(tmp_path / "s").skipped or "")


def test_stores_come_together_and_a_name_belongs_to_one_of_them(url, data, tmp_path):
    for name in ("one", "two"):
        write_run(tmp_path / name, name)
        deliver(tmp_path / name, url, data)
    assert open_store(url).runs().run.tolist() == ["one", "two"]
    write_run(tmp_path / "three", "one")
    with pytest.raises(RunNameTaken, match="the target has a run 'one' of another store"):
        deliver(tmp_path / "three", url)
    assert len(open_store(url).layer_stats(runs=["one"])) == 6


def test_many_deliveries_at_once_lose_and_double_nothing(url, data, tmp_path):
    """Their marks are in one table: who is overtaken tries again."""
    stores = [tmp_path / f"s{i}" for i in range(4)]
    deliver(_first(stores[0]), url, data)
    for i, store in enumerate(stores[1:], start=1):
        write_run(store, f"run {i}", range(5))
    failed = []

    def send(store):
        try:
            deliver(store, url)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    counts = open_store(url).layer_stats().groupby("run").size().to_dict()
    assert counts == {"first": 6, "run 1": 10, "run 2": 10, "run 3": 10}


def _first(store):
    write_run(store, "first")
    return store


def test_copies_of_a_store_that_are_delivered_at_once_do_not_double(url, data, tmp_path):
    """Where locks do not work (a spool on a network file system), the lake itself keeps deliveries apart."""
    import shutil

    deliver(_first(tmp_path / "s"), url, data)
    write_run(tmp_path / "s", "more", range(5))
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    threads = [threading.Thread(target=deliver, args=(tmp_path / name, url)) for name in ("s", "copy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_store(url).layer_stats().groupby("run").size().to_dict() == {"first": 6, "more": 10}


def test_a_torn_segment_is_set_aside_and_told(url, data, tmp_path):
    write_run(tmp_path / "s")
    segment = max(path for path in (tmp_path / "s" / "spool").glob("*.parquet") if "sentinel" not in path.name)
    segment.write_bytes(segment.read_bytes()[:40])
    deliver(tmp_path / "s", url, data)
    assert open_store(url).events().kind.tolist() == ["dropped"]
    assert [path.suffix for path in (tmp_path / "s" / "spool").glob(f"{segment.stem}*")] == [".torn"]


def test_a_lake_reads_nothing_else(url, data, tmp_path):
    deliver(_first(tmp_path / "s"), url, data)
    lake = open_store(url)
    with pytest.raises(DepthscopeError, match="disabled"):
        lake.sql("SELECT * FROM read_text('/etc/hostname')")
    with pytest.raises(DepthscopeError, match="expected one SELECT"):
        lake.sql("DELETE FROM runs")
    assert len(lake.layer_stats()) == 6


def test_targets_that_are_not_there_are_one_line(url, tmp_path, postgres):
    write_run(tmp_path / "s")
    port = str(postgres.port)
    with pytest.raises(StoreBusy, match="expected to reach") as refused:
        deliver(tmp_path / "s", url.replace(port, "1"), "x")
    with pytest.raises(StoreBusy, match="password authentication failed") as wrong:
        deliver(tmp_path / "s", url.replace("user=lake", "user=nobody"), "x")
    with pytest.raises(DepthscopeError, match="make it with --data") as absent:
        deliver(tmp_path / "s", url)
    for error in (refused, wrong, absent):
        assert "\n" not in str(error.value) and os.environ["PGPASSWORD"] not in str(error.value)
    assert len(open_store(tmp_path / "s").layer_stats()) == 6


def test_no_password_is_written_down(url, data, tmp_path):
    deliver(_first(tmp_path / "s"), url, data)
    secret = os.environ["PGPASSWORD"].encode()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and secret in p.read_bytes()]


def test_a_new_metric_is_a_new_column(url, data, tmp_path):
    deliver(_first(tmp_path / "s"), url, data)
    writer = open_run(tmp_path / "s", RunInfo("b"))
    writer.write(LayerStats(0, "train", "main", 1, "resid_post", {'odd "name"': 2.0}))
    writer.close()
    deliver(tmp_path / "s", url)
    frame = open_store(url).layer_stats(columns=['odd "name"'])
    assert frame['odd "name"'].dropna().tolist() == [2.0]


def files(url):
    """How many files the lake has, of all its tables."""
    with closing(ducklake.attached(url, read_only=True)) as connection:
        return sum(ducklake._files(connection))


def test_small_files_become_few(url, data, tmp_path, monkeypatch):
    deliver(_first(tmp_path / "s"), url, data)
    for i in range(3):
        write_run(tmp_path / "s", f"run {i}", range(10))
        deliver(tmp_path / "s", url)
    many, before = files(url), rows(open_store(url))
    before_on_disk = len(list(Path(data).rglob("*.parquet")))
    monkeypatch.setattr(ducklake, "_MANY", 2)
    assert deliver(tmp_path / "s", url) == Delivery() and files(url) == many, "nothing new, nothing done"
    write_run(tmp_path / "s", "last", range(10))
    deliver(tmp_path / "s", url)
    assert files(url) < many
    assert len(list(Path(data).rglob("*.parquet"))) > before_on_disk, "readers may still look at them"
    monkeypatch.setattr(ducklake, "_KEPT", "INTERVAL 0 SECOND")
    write_run(tmp_path / "s", "more", range(10))
    deliver(tmp_path / "s", url)
    assert len(list(Path(data).rglob("*.parquet"))) < before_on_disk
    after = rows(open_store(url))
    kept = {
        table: frame[~frame.run.isin(["last", "more"])] if "run" in frame else frame for table, frame in after.items()
    }
    same(before, {table: frame.reset_index(drop=True) for table, frame in kept.items()})


def test_a_lake_is_compacted_and_nothing_else(url, data, tmp_path):
    for i in range(3):
        write_run(tmp_path / "s", f"run {i}", range(10))
        deliver(tmp_path / "s", url, data)
    done = compact_lake(url)
    assert done[0] > done[1] == files(url)
    assert len(open_store(url).layer_stats()) == 60
    for change in (
        lambda: remove_runs(open_store(url), "run 0"),
        lambda: rename_run(open_store(url), "run 0", "b"),
        lambda: check_store(url),
    ):
        with pytest.raises(NotAStore, match=r"^expected the folder of a store, got the URL of a target, .*$"):
            change()
    for change in (lambda: remove_runs(tmp_path / "s", "run 0"), lambda: compact(tmp_path / "s")):
        with pytest.raises(DepthscopeError, match=r"the segments of .* go to ducklake:postgres"):
            change()
    assert len(open_store(url).layer_stats()) == 60


def test_the_command_delivers_and_lists(url, data, tmp_path):
    def depthscope(*arguments):
        command = [sys.executable, "-m", "depthscope.app", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    _first(tmp_path / "s")
    told = depthscope("ingest", tmp_path / "s", "--to", url, "--data", data)
    assert told.returncode == 0 and told.stderr.startswith("Delivered 2 segments to ducklake:postgres:"), told.stderr
    listed = depthscope("runs", url, "--json")
    assert [run["run"] for run in json.loads(listed.stdout)] == ["first"], listed.stderr
    small = depthscope("compact", url)
    assert small.returncode == 0 and " files now; " in small.stderr, small.stderr
    refused = depthscope("rm", "first", "--store", url)
    assert refused.returncode == 2 and refused.stderr.startswith("depthscope: expected the folder of a store, got the")
    wrong = depthscope("ingest", tmp_path / "s", "--data", data)
    assert wrong.returncode == 2 and wrong.stderr.startswith("depthscope: expected --to URL")
