import shutil
import signal
import sys
import time
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from stores import process, script, stats, wait_until, write_run

from depthscope.store import (
    DepthscopeError,
    IngestResult,
    NotAStore,
    RunInfo,
    StoreMissing,
    StoreTooNew,
    ingest,
    open_run,
    open_store,
    start_ingest,
)

README_QUERY = """
    SELECT strategy, layer, variance FROM runs JOIN layer_stats USING (run)
    WHERE site = 'resid_post' AND step = 2 ORDER BY strategy, layer
"""


def segments(root: Path) -> list[Path]:
    return sorted(path for path in (root / "spool").glob("*.parquet") if path.name != "0-sentinel.parquet")


def rows(root: Path) -> list[list[object]]:
    """run, step and layer of every row of layer_stats, as readers see them."""
    frame = open_store(root).sql("SELECT run, step, layer FROM layer_stats ORDER BY ALL")
    return [list(row) for row in frame.itertuples(index=False)]


def test_segments_move_into_the_database(root: Path) -> None:
    write_run(root)
    before = rows(root)
    assert ingest(root) == IngestResult(folded=2)
    assert segments(root) == []
    assert rows(root) == before == [["a", step, layer] for step in range(3) for layer in (1, 2)]
    assert ingest(root) == IngestResult()


def test_the_query_of_the_readme_answers_here_and_in_any_client(root: Path) -> None:
    write_run(root)
    expected = [("pre", 1, 12.0), ("pre", 2, 22.0)]
    assert list(open_store(root).sql(README_QUERY).itertuples(index=False, name=None)) == expected
    ingest(root)
    assert list(open_store(root).sql(README_QUERY).itertuples(index=False, name=None)) == expected
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute(README_QUERY).fetchall() == expected


def test_the_database_is_one_that_the_oldest_duckdb_reads(root: Path) -> None:
    write_run(root)
    ingest(root)
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        tags = client.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'depthscope'").fetchone()
    assert tags is not None
    assert tags[0]["storage_version"] in ("v1.5.0", "v1.5.0+")


def test_a_new_metric_is_a_new_column(root: Path) -> None:
    write_run(root)
    ingest(root)
    writer = open_run(root, RunInfo("b"))
    writer.write(stats(0, 1, **{'odd"; DROP TABLE runs; --': 4.0, "median_abs": 5.0}))
    writer.close()
    ingest(root)
    frame = open_store(root).layer_stats(runs="b")
    assert list(frame.columns[6:]) == ["variance", 'odd"; DROP TABLE runs; --', "median_abs"]
    assert frame.iloc[0, 7:].tolist() == [4.0, 5.0]
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute("SELECT median_abs FROM all_layer_stats WHERE run = 'b'").fetchall() == [(5.0,)]


def test_null_nan_and_infinities_stay_apart(root: Path) -> None:
    writer = open_run(root, RunInfo("a"))
    values = [
        ("nan", {"variance": float("nan")}),
        ("inf", {"variance": float("inf")}),
        ("-inf", {"variance": -float("inf")}),
    ]
    for step, (_, value) in enumerate(values):
        writer.write(stats(step, 1, **value))
    writer.write(stats(3, 1, other=1.0), stats(4, None, variance=0.1))
    writer.close()
    query = "SELECT step, layer, variance::VARCHAR FROM layer_stats ORDER BY step"
    expected = [(0, 1, "nan"), (1, 1, "inf"), (2, 1, "-inf"), (3, 1, None), (4, None, "0.1")]
    for _ in range(2):
        found = open_store(root).sql(query).astype(object)
        assert list(found.where(found.notna(), None).itertuples(index=False, name=None)) == expected
        ingest(root)


class TestResume:
    def test_a_later_attempt_replaces_the_tail_once(self, root: Path) -> None:
        write_run(root, steps=range(10))
        write_run(root, steps=range(4, 6), resume=True, from_step=4, status="interrupted")
        expected = [["a", step, layer] for step in range(6) for layer in (1, 2)]
        assert rows(root) == expected  # both in the spool
        ingest(root)
        assert rows(root) == expected  # both folded at once
        assert list(open_store(root).runs()[["status", "first_step", "last_step"]].iloc[0]) == ["interrupted", 0, 5]

    def test_one_attempt_folded_before_the_next(self, root: Path) -> None:
        write_run(root, steps=range(10))
        ingest(root)
        write_run(root, steps=range(4, 6), resume=True, from_step=4)
        expected = [["a", step, layer] for step in range(6) for layer in (1, 2)]
        assert rows(root) == expected
        with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
            assert client.execute("SELECT count(*) FROM all_layer_stats").fetchall() == [(12,)]
        ingest(root)
        assert rows(root) == expected

    def test_late_segments_of_the_older_attempt(self, root: Path) -> None:
        first = open_run(root, RunInfo("a", model="old", strategy="pre"))
        first.write(*(stats(step, 1) for step in range(3)))
        second = open_run(root, RunInfo("a", model="new"), resume=True, from_step=2)
        second.write(stats(2, 1, variance=-1.0))
        second.close()
        ingest(root)
        first.write(*(stats(step, 1) for step in range(3, 6)))
        first.close("failed")
        for _ in range(2):
            store = open_store(root)
            assert store.layer_stats()["variance"].tolist() == [10.0, 11.0, -1.0]
            assert list(store.runs()[["model", "strategy", "status"]].iloc[0]) == ["new", "pre", "finished"]
            ingest(root)

    def test_three_attempts_in_any_order_of_arrival(self, root: Path, tmp_path: Path) -> None:
        write_run(root, steps=range(10))
        write_run(root, steps=range(2, 10), resume=True, from_step=2)
        writer = write_run(root, steps=range(8, 9), resume=True, from_step=8)
        held_back = [path for path in segments(root) if not path.name.startswith(writer.attempt)]
        for path in held_back:
            path.rename(tmp_path / path.name)
        ingest(root)
        for path in held_back:
            (tmp_path / path.name).rename(root / "spool" / path.name)
        expected = [["a", step, layer] for step in range(9) for layer in (1, 2)]
        assert rows(root) == expected
        ingest(root)
        assert rows(root) == expected

    def test_a_resumed_run_runs_again(self, root: Path) -> None:
        write_run(root)
        ingest(root)
        writer = open_run(root, RunInfo("a"), resume=True)
        run = open_store(root).runs().iloc[0]
        assert run["status"] == "running"
        assert run["ended_at"] is not run["ended_at"] or run.isna()["ended_at"]
        writer.close()


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * len(data)]
)
def test_a_torn_segment_is_set_aside_and_blocks_nothing(root: Path, damage) -> None:  # type: ignore[no-untyped-def]
    write_run(root)
    write_run(root, "b")
    torn = segments(root)[-1]
    torn.write_bytes(damage(torn.read_bytes()))
    expected = [["a", step, layer] for step in range(3) for layer in (1, 2)]
    assert rows(root) == expected
    assert ingest(root) == IngestResult(folded=3, torn=(torn.name,))
    assert torn.with_suffix(".torn").exists()
    assert rows(root) == expected
    (event,) = open_store(root).events().to_dict("records")
    assert (event["run"], event["kind"]) == ("b", "dropped")
    assert torn.name in event["text"]
    assert ingest(root) == IngestResult()


def test_a_segment_that_only_lost_its_readability_waits(root: Path) -> None:
    write_run(root)
    first = segments(root)[0]
    kept = first.rename(first.with_suffix(".kept"))
    first.symlink_to(root / "nowhere")
    assert ingest(root) == IngestResult(folded=0)
    first.unlink()
    kept.rename(first)
    assert ingest(root) == IngestResult(folded=2)
    assert len(rows(root)) == 6


def test_a_segment_of_a_later_schema_is_left_alone(root: Path) -> None:
    write_run(root)
    path = segments(root)[-1]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM '{path}'; UPDATE t SET _schema = 2; COPY t TO '{path}'")
    with pytest.raises(StoreTooNew, match="upgrade depthscope"):
        ingest(root)
    with pytest.raises(StoreTooNew, match="upgrade depthscope"):
        open_store(root).runs()
    assert len(segments(root)) == 2


def test_a_database_of_a_later_schema_is_left_alone(root: Path) -> None:
    write_run(root)
    ingest(root)
    with duckdb.connect(str(root / "depthscope.duckdb")) as connection:
        connection.execute("UPDATE schema_version SET version = 2")
    write_run(root, "b")
    for attempt in (open_store, ingest):
        with pytest.raises(StoreTooNew, match="upgrade depthscope"):
            attempt(root)
    assert len(segments(root)) == 2


def test_a_store_that_moved(root: Path, tmp_path: Path) -> None:
    write_run(root)
    ingest(root)
    moved = tmp_path / "it's [elsewhere] *"
    shutil.move(root, moved)
    write_run(moved, "b")
    expected = [[run, step, layer] for run in "ab" for step in range(3) for layer in (1, 2)]
    assert rows(moved) == expected
    ingest(moved)
    assert rows(moved) == expected
    write_run(moved, "c")
    with duckdb.connect(str(moved / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute("SELECT run, count(*) FROM all_layer_stats GROUP BY run ORDER BY run").fetchall() == [
            ("a", 6),
            ("b", 6),
            ("c", 6),
        ]
    shutil.move(moved, root)
    ingest(root)
    with duckdb.connect() as client:
        client.execute(f"ATTACH '{root / 'depthscope.duckdb'}' AS other (READ_ONLY)")
        assert client.execute("SELECT count(*) FROM other.all_layer_stats").fetchall() == [(18,)]


def test_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        ingest(tmp_path / "none")
    with pytest.raises(NotAStore):
        ingest(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_a_database_from_a_killed_ingest_is_made_anew(root: Path) -> None:
    write_run(root)
    (root / "depthscope.new").write_bytes(b"half")
    (root / "depthscope.new.wal").write_bytes(b"half")
    assert ingest(root).folded == 2
    assert sorted(path.name for path in root.iterdir()) == ["claims", "depthscope.duckdb", "ingest.lock", "spool"]


HOLD = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "ro")
    print("held", flush=True)
    input()
"""


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_whoever_holds_the_database_stops_no_one_for_good(root: Path, mode: str) -> None:
    write_run(root)
    ingest(root)
    with process(HOLD, root / "depthscope.duckdb", mode) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        write_run(root, "b")
        with mock.patch.object(sys.modules["depthscope.store.ingest"], "_PATIENCE", 0.1):
            result = ingest(root)
        assert result.folded == 0
        assert result.skipped is not None
        assert f"(process {holder.pid}) holds it" in result.skipped
        holder.communicate("\n")
    assert ingest(root) == IngestResult(folded=2)


def test_a_full_disk_loses_nothing(root: Path) -> None:
    write_run(root)
    full = duckdb.TransactionException("Could not write file: No space left on device")
    with mock.patch("depthscope.store.fold._fold_keyed", side_effect=full):
        result = ingest(root)
    assert result == IngestResult(skipped=f"cannot fold into {root} now: {full}")
    assert len(segments(root)) == 2
    assert len(rows(root)) == 6
    assert ingest(root) == IngestResult(folded=2)


INGEST = """
    import sys
    from depthscope.store import ingest
    print("ready", flush=True)
    input()
    print(ingest(sys.argv[1]).folded, flush=True)
"""


def test_two_ingesters_at_once(root: Path) -> None:
    for name in "abcdef":
        write_run(root, name, range(20))
    before = rows(root)
    children = [process(INGEST, root) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    folded = [child.communicate(timeout=60) for child in children]
    assert sum(int(out) for out, _ in folded) == 12
    assert rows(root) == before
    assert segments(root) == []


def test_start_ingest_returns_before_it_is_done(root: Path) -> None:
    write_run(root)
    start_ingest(root)
    wait_until(lambda: segments(root) == [] and (root / "depthscope.duckdb").exists())
    assert len(rows(root)) == 6


def test_start_ingest_starts_nothing_where_nothing_waits(root: Path) -> None:
    write_run(root)
    with mock.patch("subprocess.Popen") as popen:
        start_ingest(root, at_least=len(segments(root)) + 1)
        assert popen.call_count == 0
        start_ingest(root, at_least=len(segments(root)))
        ingest(root)
        start_ingest(root)
        start_ingest(root / "none")
    assert popen.call_count == 1


def test_a_file_named_like_a_library_is_not_imported(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(root)
    (tmp_path / "duckdb.py").write_text("raise SystemExit('the wrong duckdb')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    start_ingest(root)
    wait_until(lambda: segments(root) == [])
    assert rows(root)


def test_the_command_says_what_it_did(root: Path) -> None:
    write_run(root)
    command = """
        import runpy, sys, warnings
        warnings.simplefilter("ignore")
        runpy.run_module("depthscope.store.upkeep", run_name="__main__", alter_sys=False)
    """
    assert script(command, root).stdout == "2 segments folded, 0 torn\n"
    missing = script(command, root / "none")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


def test_errors_are_ours(root: Path) -> None:
    root.mkdir()
    (root / "depthscope.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(NotAStore) as raised:
        ingest(root)
    assert isinstance(raised.value, DepthscopeError)
    assert "\n" not in str(raised.value)


WRITER = """
    import sys, time
    from unittest import mock
    from depthscope.store import LayerStats, RunInfo, open_run
    with mock.patch.multiple("depthscope.store.spool", _TICK=0.001, _INTERVAL=0.0):
        writer = open_run(sys.argv[1], RunInfo("a"), resume=True)
        step = writer.from_step
        print("from", step, flush=True)
        while True:
            writer.write(*(LayerStats(step, "train", "main", i, "resid_post", {"variance": 1.0 * i}) for i in range(5)))
            while writer._incoming or writer._backlog:
                time.sleep(0.0005)
            print("wrote", step, flush=True)
            step += 1
"""


def test_killing_the_writer_loses_nothing_that_was_written(root: Path) -> None:
    acknowledged = -1
    for kill in range(6):
        with process(WRITER, root) as child:
            assert child.stdout is not None
            word, step = child.stdout.readline().split()
            assert (word, int(step) > acknowledged) == ("from", True)
            for _ in range(3 + kill):
                acknowledged = int(child.stdout.readline().split()[1])
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:
                acknowledged = max(acknowledged, int(line.split()[1]))
        counts = open_store(root).sql("SELECT step, count(*) AS n FROM layer_stats GROUP BY step ORDER BY step")
        assert counts["n"].tolist() == [5] * len(counts)
        assert counts["step"].tolist() == list(range(len(counts)))
        # One batch may have reached the disk without its writer having said so.
        assert acknowledged <= counts["step"].max() <= acknowledged + 1
        acknowledged = int(counts["step"].max())
        if kill % 2:
            ingest(root)


def test_killing_the_ingester_loses_and_doubles_nothing(root: Path) -> None:
    expected: list[list[object]] = []
    for kill in range(6):
        name = f"run{kill}"
        for seed in range(4):
            write_run(root, f"{name}-{seed}", range(10))
            expected += [[f"{name}-{seed}", step, layer] for step in range(10) for layer in (1, 2)]
        with process(INGEST, root) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.stdin.write("\n")
            child.stdin.flush()
            if kill:  # the first may finish, so that there is a database to wound
                time.sleep(0.004 * kill)  # somewhere within the ingest
                child.send_signal(signal.SIGKILL)
            child.communicate()
        assert rows(root) == expected
    ingest(root)
    assert rows(root) == expected
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM layer_stats").fetchall() == [(len(expected),)]
