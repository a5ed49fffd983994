"""Nobody who reads, holds or fills the store makes a training process wait or fail."""

import time
from pathlib import Path
from unittest import mock

import pytest
from stores import flushed, process, stats, wait_until, write_run

from depthscope.store import RunInfo, Store, StoreBusy, ingest, open_run, open_store

HOLD = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    connection.execute("BEGIN; CREATE TABLE theirs (i INTEGER)")
    print("held", flush=True)
    input()
"""


def test_a_client_that_holds_the_database_for_writing(root: Path, quick: None) -> None:
    write_run(root)
    ingest(root)
    with process(HOLD, root / "depthscope.duckdb") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "held\n"
        writers = [open_run(root, RunInfo(f"run {number}")) for number in range(3)]
        slowest = 0.0
        for step in range(100):
            for writer in writers:
                start = time.perf_counter()
                writer.write(stats(step, 1))
                slowest = max(slowest, time.perf_counter() - start)
        wait_until(lambda: all(flushed(writer) for writer in writers))
        assert all(writer._failing_since is None for writer in writers)
        assert slowest < 1.0, "write() waits for nobody; this much only a starved machine takes"
        with pytest.raises(StoreBusy, match=rf"process {client.pid}\) holds it"):
            Store(root, patience=0.1).layer_stats()
        for writer in writers:
            writer.close()
        client.communicate("\n")
    assert len(open_store(root).layer_stats()) == 6 + 300
    ingest(root)
    assert len(open_store(root).layer_stats()) == 6 + 300


@pytest.mark.long
def test_eight_writers_while_a_client_holds_the_database_for_a_minute(root: Path, quick: None) -> None:
    write_run(root)
    ingest(root)
    with process(HOLD, root / "depthscope.duckdb") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "held\n"
        writers = [open_run(root, RunInfo(f"run {number}")) for number in range(8)]
        step, end = 0, time.monotonic() + 60
        while time.monotonic() < end:
            for writer in writers:
                writer.write(stats(step, 1))
            step += 1
            time.sleep(0.1)
        assert ingest(root).skipped
        wait_until(lambda: all(flushed(writer) for writer in writers))
        assert all(writer._refused == 0 and writer._failing_since is None for writer in writers)
        for writer in writers:
            writer.close()
        client.communicate("\n")
    assert ingest(root).skipped is None
    assert open_store(root).layer_stats().groupby("run").size().tolist() == [6] + [step] * 8


def test_a_backlog_never_grows_past_its_bound(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A disk that neither writes nor refuses: the thread hangs in it, and what is more than the bound is let go."""
    with mock.patch.multiple("depthscope.store.spool", _TICK=0.001, _INTERVAL=0.0, _BACKLOG=500):
        writer = open_run(root, RunInfo("a"))
        wait_until(lambda: flushed(writer))
        with mock.patch("depthscope.store.spool.write_segment", side_effect=lambda *_: time.sleep(0.5)):
            writer.write(stats(0, 1))
            wait_until(lambda: bool(writer._backlog))
            for step in range(1, 2000):
                writer.write(stats(step, 1))
                assert len(writer._incoming) + len(writer._backlog) <= 501  # one may be on its way
            refused = writer._refused
            assert refused >= 1400
        writer.close()
    assert list(open_store(root).events()["text"]) == [f"the store was slow; {refused} records lost"]
