"""Compaction: same rows, less space, nothing lost at any moment."""

from itertools import groupby
from pathlib import Path
from unittest import mock

import duckdb
import pytest
import synthetic
from stores import process, stats, write_run

from depthscope.store import DepthscopeError, RunInfo, StoreBusy, StoreMissing, compact, ingest, open_run, open_store

TABLES = ("runs", "attempts", "layers", "metrics", "layer_stats", "massive", "steps", "scalars", "events")


def content(root: Path) -> dict[str, list[str]]:
    store = open_store(root)
    query = "SELECT CAST(t AS VARCHAR) AS row FROM {} AS t ORDER BY ALL"
    return {table: list(store.sql(query.format(table))["row"]) for table in TABLES}


def test_rows_stay_and_space_comes_back(root: Path) -> None:
    for seed in range(3):
        synthetic.make_store(root, [synthetic.SyntheticRun(f"r{seed}", "pre", "finished", seed)], 6, 40)
        ingest(root)
    writer = open_run(root, RunInfo("nan"))
    writer.write(stats(0, 1, variance=float("nan"), odd=float("inf")), stats(1, None, kurtosis=-float("inf")))
    writer.close()
    before = content(root)
    done = compact(root)
    assert done.ingested.folded == 2
    assert content(root) == before
    assert done.after < done.before
    assert done.after == (root / "depthscope.duckdb").stat().st_size
    files = ["claims", "compacted", "depthscope.duckdb", "ingest.lock", "spool"]
    assert sorted(path.name for path in root.iterdir()) == files


def test_a_compacted_store_goes_on(root: Path) -> None:
    write_run(root)
    compact(root)
    write_run(root, steps=range(1, 2), resume=True, from_step=1)
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute("SELECT step, count(*) FROM all_layer_stats GROUP BY step ORDER BY step").fetchall() == [
            (0, 2),
            (1, 2),
        ]
        tags = client.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'depthscope'").fetchall()[0][0]
        assert tags["storage_version"] in ("v1.5.0", "v1.5.0+")
        comment = "SELECT comment FROM duckdb_tables() WHERE table_name = 'runs'"
        assert client.execute(comment).fetchall() == [("One row a run; times are UTC",)]
    assert ingest(root).folded == 2
    assert compact(root).ingested.folded == 0
    assert open_store(root).layer_stats()["step"].tolist() == [0, 1, 0, 1]


def test_rows_lie_site_by_site_and_sorted(root: Path) -> None:
    synthetic.make_store(root, ["pre", "post"], 3, 5)
    compact(root)
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as client:
        rows = client.execute("SELECT stack, site, phase, run, layer, step FROM layer_stats").fetchall()
        measured = dict(
            client.execute("SELECT site || phase, count(variance) > 0 FROM layer_stats GROUP BY 1").fetchall()
        )
    groups = [(group, [row[3:] for row in found]) for group, found in groupby(rows, key=lambda row: row[:3])]
    assert len(groups) == len({group for group, _ in groups}) > 5
    for _, found in groups:
        assert found == sorted(found, key=lambda row: (row[0], row[1] or 0, row[2]))
    with_variance = [measured[site + phase] for (_, site, phase), _ in groups]
    assert with_variance == sorted(with_variance, reverse=True), "those with the same metrics lie side by side"


def test_a_failure_leaves_the_old_database(root: Path) -> None:
    write_run(root)
    ingest(root)
    before = content(root)
    with (
        mock.patch("depthscope.store.compact._copy_tables", side_effect=duckdb.IOException("No space left on device")),
        pytest.raises(DepthscopeError, match="No space left"),
    ):
        compact(root)
    assert content(root) == before
    assert not (root / "depthscope.new").exists()


HOLD = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    print("held", flush=True)
    input()
"""


def test_a_busy_store_is_left_alone(root: Path) -> None:
    write_run(root)
    ingest(root)
    with process(HOLD, root / "depthscope.duckdb") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy, match=str(holder.pid)):
            compact(root, patience=0.1)
        holder.communicate("\n")


def test_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        compact(tmp_path / "none")
