"""Deliveries to DuckDB's Quack server: the same rows as in a store of its own, once, whatever is killed or hangs."""

import threading
from pathlib import Path

import duckdb
import pytest
from deliveries import REQUIRED, hostile, rows, same
from quack import QuackServer
from stores import write_run

from depthscope.store import (
    Delivery,
    DepthscopeError,
    LayerStats,
    NotAStore,
    RunInfo,
    RunNameTaken,
    StoreBusy,
    StoreMissing,
    compact_lake,
    deliver,
    depth_profile,
    ingest,
    open_run,
    open_store,
    remove_runs,
    run_table,
    series,
)
from depthscope.store.targets.child import Child
from depthscope.store.targets.extensions import ExtensionMissing, load

pytestmark = pytest.mark.usefixtures("started")


@pytest.fixture
def server(tmp_path, monkeypatch):
    try:
        with duckdb.connect() as connection:
            load(connection, "httpfs", "quack")
    except ExtensionMissing as missing:
        pytest.fail(str(missing)) if REQUIRED else pytest.skip(str(missing))
    server = QuackServer(tmp_path / "server.duckdb")
    monkeypatch.setenv("QUACK_TOKEN", server.token)
    server.start()
    yield server
    server.kill()


def waiting(store: Path) -> list[Path]:
    return sorted((store / "spool").glob("0?*-*-*.parquet"))


def test_a_server_answers_as_a_store_does(server, tmp_path):
    with pytest.raises(StoreMissing, match="expected runs at quack:localhost"):
        open_store(server.url)
    for root in (tmp_path / "own", tmp_path / "to server"):
        hostile(root)
        write_run(root, "second", range(4))
    ingest(tmp_path / "own")
    assert deliver(tmp_path / "to server", server.url).folded == 6
    own, there = open_store(tmp_path / "own"), open_store(server.url)
    for table, frame in rows(own).items():
        assert len(rows(there)[table]) == len(frame), table
    assert there.steps(["it's <b>"]).loss.tolist() == own.steps(["it's <b>"]).loss.tolist()
    assert there.layer_stats(["it's <b>"], columns=["my metric"])["my metric"].tolist() == [0.0, 1.0, 2.0]
    assert there.sql("SELECT count(*) AS n FROM all_layer_stats WHERE isnan(variance)").n.tolist() == [3]
    assert there.sql("SELECT isnan(?) AND isinf(?) AS both", [float("nan"), float("-inf")]).both.tolist() == [True]
    told = "SELECT list_sort(tags) AS tags, CAST(config AS VARCHAR) AS config FROM runs WHERE run = $run"
    assert str(there.sql(told, {"run": "it's <b>"}).values) == str(own.sql(told, {"run": "it's <b>"}).values)
    assert run_table(there).run.tolist() == run_table(own).run.tolist()
    for ask in (
        lambda store: series(store, "it's <b>", "loss"),
        lambda store: depth_profile(store, ["second"], "variance", "resid_post", "train"),
    ):
        assert ask(there).equals(ask(own))
    assert waiting(tmp_path / "to server") == []


def test_a_run_that_is_resumed_replaces_its_tail_once(server, tmp_path):
    write_run(tmp_path / "s", "a", range(4))
    deliver(tmp_path / "s", server.url)
    write_run(tmp_path / "s", "a", range(2, 6), resume=True, from_step=2)
    write_run(tmp_path / "s", "b")
    deliver(tmp_path / "s", server.url)
    found = open_store(server.url).layer_stats(layers=1)
    assert found[found.run == "a"].step.tolist() == [0, 1, 2, 3, 4, 5]
    assert found[found.run == "b"].step.tolist() == [0, 1, 2]
    writer = open_run(tmp_path / "s", RunInfo("c"))
    writer.write(LayerStats(0, "train", "main", 1, "resid_post", {'odd "name"': 2.0}))
    writer.close()
    deliver(tmp_path / "s", server.url)
    assert open_store(server.url).layer_stats(columns=['odd "name"'])['odd "name"'].dropna().tolist() == [2.0]


def test_segments_that_were_delivered_and_not_removed_do_not_double(server, tmp_path, monkeypatch):
    """So it is when the answer of the server is lost, or the delivery killed."""
    write_run(tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        deliver(tmp_path / "s", server.url)
    before = rows(open_store(server.url))
    assert len(waiting(tmp_path / "s")) == 2
    assert deliver(tmp_path / "s", server.url) == Delivery()
    same(before, rows(open_store(server.url)))
    assert waiting(tmp_path / "s") == []


def test_deliveries_at_once_and_a_server_that_is_killed_lose_and_double_nothing(server, tmp_path):
    stores = [tmp_path / f"s{i}" for i in range(4)]
    write_run(stores[0], "first")
    deliver(stores[0], server.url)
    stop = threading.Event()

    def send(store: Path) -> None:
        while not stop.is_set():
            try:
                deliver(store, server.url)
            except StoreBusy:
                stop.wait(0.1)

    threads = [threading.Thread(target=send, args=(store,)) for store in stores]
    for i, store in enumerate(stores[1:], start=1):
        write_run(store, f"run {i}", range(5))
    for thread in threads:
        thread.start()
    for part in range(3):
        server.kill()
        for i, store in enumerate(stores):
            write_run(store, f"more {i} {part}", range(5))
        server.start()
        stop.wait(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    for store in stores:
        deliver(store, server.url)
    counts = open_store(server.url).layer_stats().groupby("run").size().to_dict()
    more = {f"more {i} {part}": 10 for i in range(4) for part in range(3)}
    assert counts == {"first": 6, "run 1": 10, "run 2": 10, "run 3": 10, **more}


def test_a_server_that_hangs_is_given_up(server, tmp_path):
    write_run(tmp_path / "s")
    deliver(tmp_path / "s", server.url)
    write_run(tmp_path / "s", "b")
    child = Child(patience=3.0)
    server.freeze()
    try:
        with pytest.raises(StoreBusy, match="did not answer within 3 s"):
            child.call("deliver", str(tmp_path / "s"), server.url, None)
    finally:
        server.thaw()
    assert len(waiting(tmp_path / "s")) == 2
    child.close()
    deliver(tmp_path / "s", server.url)
    assert open_store(server.url).layer_stats().groupby("run").size().to_dict() == {"a": 6, "b": 6}


def test_what_is_refused_is_one_line(server, tmp_path, monkeypatch):
    write_run(tmp_path / "s")
    with pytest.raises(DepthscopeError, match="expected --data with a lake"):
        deliver(tmp_path / "s", server.url, "folder")
    deliver(tmp_path / "s", server.url)
    write_run(tmp_path / "other")
    with pytest.raises(RunNameTaken, match="the target has a run 'a' of another store"):
        deliver(tmp_path / "other", server.url)
    with pytest.raises(DepthscopeError, match="expected one SELECT"):
        open_store(server.url).sql("DELETE FROM runs")
    with pytest.raises(DepthscopeError, match="expected a store or a lake to compact"):
        compact_lake(server.url)
    with pytest.raises(NotAStore, match="got the URL of a target"):
        remove_runs(open_store(server.url), "a")
    monkeypatch.setenv("QUACK_TOKEN", "wrong" * 8)
    with pytest.raises(StoreBusy, match="did not take it: ") as refused:
        deliver(tmp_path / "s", server.url)
    assert "\n" not in str(refused.value) and server.token not in str(refused.value)
    write_run(tmp_path / "ingested", "c")
    ingest(tmp_path / "ingested")
    with pytest.raises(DepthscopeError, match="expected a spool without a database"):
        deliver(tmp_path / "ingested", server.url)
