"""The doctor sees each kind of damage, and repairs a database as far as it can be read."""

from pathlib import Path

import duckdb
import pytest
from stores import write_run

from depthscope.store import (
    NotAStore,
    RunInfo,
    RunNameTaken,
    StoreMissing,
    check_store,
    ingest,
    open_run,
    open_store,
    repair_store,
)


def states(root: Path) -> dict[str, str]:
    return {check.name: check.state for check in check_store(root) if check.state != "ok"}


def change(root: Path, sql: str) -> None:
    with duckdb.connect(str(root / "depthscope.duckdb")) as connection:
        connection.execute(sql)


def segments(root: Path) -> list[Path]:
    return sorted((root / "spool").glob("0[0-9A-Z]*-*.parquet"))


def test_a_sound_store(root: Path) -> None:
    write_run(root)
    assert states(root) == {"database": "note"}
    ingest(root)
    write_run(root, "b")
    assert states(root) == {}
    said = {check.name: check.said for check in check_store(root)}
    assert said["spool"] == "2 segments wait"
    assert said["names"] == "1 runs own their names"


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        check_store(tmp_path / "none")
    with pytest.raises(NotAStore):
        repair_store(tmp_path)


def test_each_trouble_is_seen(root: Path, tmp_path: Path) -> None:
    for run in "abc":
        write_run(root, run)
    ingest(root)
    change(root, "INSERT INTO layer_stats SELECT * FROM layer_stats WHERE run = 'a' AND step = 0")
    assert states(root) == {"rows": "bad"}
    change(root, "DELETE FROM layer_stats WHERE run = 'a'; DELETE FROM runs WHERE run = 'b'")
    assert states(root) == {"runs": "bad"}
    change(root, "DELETE FROM layer_stats WHERE run = 'b'")
    for claim in (root / "claims").iterdir():
        claim.unlink()
    assert states(root) == {"names": "bad"}
    assert repair_store(root) is None
    assert states(root) == {}
    with pytest.raises(RunNameTaken):
        open_run(root, RunInfo("c"))
    root.rename(tmp_path / "moved")
    assert states(tmp_path / "moved") == {"place": "note"}
    ingest(tmp_path / "moved")
    assert states(tmp_path / "moved") == {}


def test_segments_that_are_torn_or_missing(root: Path) -> None:
    write_run(root)
    ingest(root)
    write_run(root, "b")
    first, last = segments(root)
    last.write_bytes(b"torn")
    assert states(root) == {"place": "note", "segments": "bad"}
    first.unlink()
    assert states(root) == {"order": "bad", "place": "note", "segments": "bad"}
    ingest(root)
    assert states(root) == {"torn": "note"}


class TestRepair:
    def test_a_file_that_is_no_database(self, root: Path) -> None:
        write_run(root)
        ingest(root)
        write_run(root, "b")
        (root / "depthscope.duckdb").write_bytes(b"no database" * 1000)
        assert states(root) == {"database": "bad"}
        done = repair_store(root)
        assert done is not None
        assert (done.rows, done.segments) == (0, 2)
        assert done.kept.read_bytes().startswith(b"no database")
        assert done.lost == ["all rows: the file cannot be opened"]
        assert list(open_store(root).runs()["run"]) == ["b"]
        assert states(root) == {}

    def test_what_can_be_read_is_taken_over(self, root: Path) -> None:
        for run in "abc":  # blocks of their own
            write_run(root, run, range(8000))
            ingest(root)
        write_run(root, "d")
        file = root / "depthscope.duckdb"
        with duckdb.connect(str(file), read_only=True) as connection:
            block, size = connection.execute(
                "SELECT min(block_id), (SELECT block_size FROM pragma_database_size()) "
                "FROM pragma_storage_info('layer_stats') WHERE column_name = 'variance' AND block_id >= 0"
            ).fetchall()[0]
        data = bytearray(file.read_bytes())
        start = 3 * 4096 + block * size
        for place in range(start + 100, start + size // 2, 97):
            data[place] ^= 255
        file.write_bytes(data)
        assert states(root) == {"database": "bad"}
        done = repair_store(root)
        assert done is not None
        assert done.lost
        assert all(lost.startswith("layer_stats of ") for lost in done.lost)
        store = open_store(root)
        assert list(store.runs()["run"]) == ["a", "b", "c", "d"]
        kept = store.sql("SELECT run, count(*) AS n FROM layer_stats GROUP BY run ORDER BY run")
        assert dict(zip(kept["run"], kept["n"], strict=True)) == {
            run: 6 if run == "d" else 16_000 for run in "abcd" if f"layer_stats of {run!r}" not in done.lost
        }
        assert len(kept) >= 2
        assert states(root) == {}
