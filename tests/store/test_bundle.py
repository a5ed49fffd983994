import json
import math
from pathlib import Path
from unittest import mock

import duckdb
import pandas as pd
import pytest
import synthetic
from stores import stats, write_run

from depthscope.store import (
    BundleInvalid,
    DepthscopeError,
    RunInfo,
    RunMissing,
    RunNameTaken,
    Step,
    Store,
    StoreTooNew,
    export_runs,
    import_bundle,
    ingest,
    open_run,
    open_store,
)

TABLES = ["runs", "layers", "metrics", "layer_stats", "massive", "steps", "scalars", "events"]


def content(store: Store, table: str) -> list[tuple[object, ...]]:
    """All rows as text, so that NULL, NaN and Inf stay apart."""
    frame = store.sql(f"SELECT CAST(t AS VARCHAR) AS row FROM {table} AS t ORDER BY ALL")
    return [tuple(row) for row in frame.itertuples(index=False)]


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Path:
    """Runs a and b, with values of every kind, partly still in the spool."""
    writer = open_run(root, RunInfo("a", strategy="pre", config={"lr": 0.1}, tags=("t",)))
    writer.write(
        stats(0, 1, variance=math.nan, other=math.inf), stats(1, 1, variance=0.1), stats(2, None, variance=-math.inf)
    )
    writer.write(Step(0, 1.0, loss=math.nan), Step(1, 2.0))
    writer.close()
    ingest(root)
    write_run(root, "b")
    return export_runs(open_store(root), None, tmp_path / "bundle")


def test_a_bundle_is_parquet_and_a_manifest(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest == {
        "format": "depthscope bundle",
        "schema": 1,
        "runs": ["a", "b"],
        "tables": {"runs": 2, "attempts": 2, "layer_stats": 9, "steps": 2},
    }
    assert {path.stem for path in bundle.glob("*.parquet")} == manifest["tables"].keys()
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT run, layer, step FROM '{bundle / 'layer_stats.parquet'}'").fetchall()
    assert rows[:3] == [("a", 1, 0), ("a", 1, 1), ("a", None, 2)]


def test_what_goes_out_comes_in_as_it_was(bundle: Path, root: Path, tmp_path: Path) -> None:
    assert import_bundle(bundle, tmp_path / "other") == ["a", "b"]
    for table in TABLES:
        assert content(open_store(tmp_path / "other"), table) == content(open_store(root), table)
    assert open_store(tmp_path / "other").attempts()["from_step"].tolist() == [0, 0]


def test_a_realistic_run_goes_round(tmp_path: Path) -> None:
    store = synthetic.make_store(tmp_path / "runs", ["pre", synthetic.SyntheticRun("n", "lns", "failed", 1)], 3, 3)
    export_runs(store, ["n"], tmp_path / "bundle")
    import_bundle(tmp_path / "bundle", tmp_path / "other")
    other = open_store(tmp_path / "other")
    pd.testing.assert_frame_equal(other.layer_stats(), store.layer_stats(runs="n"))
    assert content(other, "massive") == [row for row in content(store, "massive") if "'run': n," in str(row[0])]
    assert other.metrics().equals(store.metrics())


def test_metrics_of_other_runs_stay_out(bundle: Path, root: Path, tmp_path: Path) -> None:
    folder = export_runs(root, "b", tmp_path / "b")
    import_bundle(folder, tmp_path / "other")
    assert list(open_store(tmp_path / "other").layer_stats().columns)[6:] == ["variance"]


def test_a_plain_client_sees_imported_metrics(bundle: Path, tmp_path: Path) -> None:
    import_bundle(bundle, tmp_path / "other")
    with duckdb.connect(str(tmp_path / "other" / "depthscope.duckdb"), read_only=True) as client:
        assert client.execute("SELECT other FROM all_layer_stats WHERE step = 0 AND run = 'a'").fetchall() == [
            (math.inf,)
        ]


def test_folders_may_have_any_name(root: Path, tmp_path: Path) -> None:
    write_run(root)
    folder = export_runs(root, None, tmp_path / "it's [a] *?")
    assert import_bundle(folder, tmp_path / "o'ther [b]") == ["a"]
    assert len(open_store(tmp_path / "o'ther [b]").layer_stats()) == 6


def test_what_cannot_be_exported(bundle: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunMissing, match="got 'nobody'"):
        export_runs(root, ["a", "nobody"], tmp_path / "new")
    with pytest.raises(RunMissing, match="found none"):
        export_runs(root, [], tmp_path / "new")
    with pytest.raises(DepthscopeError, match="is there already"):
        export_runs(root, None, bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "runs"]


class TestNames:
    def test_a_taken_name_is_an_error(self, bundle: Path, root: Path) -> None:
        before = content(open_store(root), "layer_stats")
        with pytest.raises(RunNameTaken, match="'a' is taken"):
            import_bundle(bundle, root)
        assert content(open_store(root), "layer_stats") == before

    def test_a_run_gets_a_new_name(self, bundle: Path, root: Path) -> None:
        new = "c'; DROP TABLE runs; --"
        assert import_bundle(bundle, root, rename={"a": new, "b": "d"}) == [new, "d"]
        store = open_store(root)
        assert list(store.runs()["run"]) == ["a", new, "b", "d"]
        assert len(store.layer_stats(new)) == len(store.layer_stats("a")) == 3
        with pytest.raises(RunNameTaken):
            open_run(root, RunInfo("d"))

    def test_the_only_run_needs_no_old_name(self, bundle: Path, root: Path, tmp_path: Path) -> None:
        single = export_runs(root, "b", tmp_path / "b")
        assert import_bundle(single, root, rename="c") == ["c"]
        with pytest.raises(DepthscopeError, match="got 2 runs"):
            import_bundle(bundle, root, rename="c")

    def test_two_runs_cannot_have_one_name(self, bundle: Path, root: Path) -> None:
        with pytest.raises(DepthscopeError, match="a name of its own"):
            import_bundle(bundle, root, rename={"a": "b"})

    def test_replacing_takes_all_of_the_old_away(self, bundle: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        writer = open_run(other, RunInfo("a", model="old"))
        writer.write(*(stats(step, 7, variance=7.0) for step in range(50)), Step(0, 0.0, loss=9.0))
        import_bundle(bundle, other, replace=True)
        writer.write(*(stats(step, 7, variance=7.0) for step in range(50, 60)))
        writer.close()  # the old run has not noticed: what it still writes is of an older attempt
        for _ in range(2):
            store = open_store(other)
            assert list(store.runs()["run"]) == ["a", "b"]
            assert len(store.layer_stats("a")) == 3
            assert store.steps("a")["step"].tolist() == [0, 1]
            assert store.runs()["status"].tolist() == ["finished", "finished"]
            ingest(other)

    def test_a_name_that_could_not_be_imported_is_free_again(self, bundle: Path, tmp_path: Path) -> None:
        with (
            mock.patch("depthscope.store.bundle._import", side_effect=duckdb.IOException("disk full")),
            pytest.raises(duckdb.IOException),
        ):
            import_bundle(bundle, tmp_path / "other")
        assert len(open_store(tmp_path / "other").runs()) == 0
        assert import_bundle(bundle, tmp_path / "other") == ["a", "b"]

    def test_half_an_import_is_none(self, bundle: Path, tmp_path: Path) -> None:
        from depthscope.store import bundle as module

        real = module._insert_sql
        with (
            mock.patch.object(
                module, "_insert_sql", lambda table, columns: real(table, columns) if table == "runs" else "SELEC"
            ),
            pytest.raises(duckdb.Error),
        ):
            import_bundle(bundle, tmp_path / "other")
        assert len(open_store(tmp_path / "other").runs()) == 0
        assert len(open_store(tmp_path / "other").attempts()) == 0


def _manifest(bundle: Path, **changes: object) -> None:
    file = bundle / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _rewrite(bundle: Path, table: str, select: str) -> None:
    file = bundle / f"{table}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS {select.format(file)}; COPY t TO '{file}' (FORMAT parquet)")


DAMAGE = {
    "no manifest": lambda b: (b / "manifest.json").unlink(),
    "no json": lambda b: (b / "manifest.json").write_text("{"),
    "another format": lambda b: _manifest(b, format="other"),
    "no list of runs": lambda b: _manifest(b, runs="a"),
    "no names": lambda b: _manifest(b, runs=[1]),
    "an unknown table": lambda b: _manifest(b, tables={"../../etc/passwd": 1}),
    "a missing file": lambda b: (b / "steps.parquet").unlink(),
    "a file cut short": lambda b: (b / "steps.parquet").write_bytes((b / "steps.parquet").read_bytes()[:50]),
    "too few rows": lambda b: _rewrite(b, "steps", "SELECT * FROM '{}' LIMIT 1"),
    "a lost column": lambda b: _rewrite(b, "steps", "SELECT * EXCLUDE loss FROM '{}'"),
    "an odd column": lambda b: _rewrite(b, "steps", "SELECT *, 1 AS odd FROM '{}'"),
    "a reserved column": lambda b: _rewrite(b, "layer_stats", "SELECT *, 1 AS _seq FROM '{}'"),
    "a stranger's rows": lambda b: _rewrite(b, "steps", "SELECT * REPLACE ('z' AS run) FROM '{}'"),
    "no number": lambda b: _rewrite(b, "steps", "SELECT * REPLACE ('z' AS loss) FROM '{}'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_a_bundle_is_refused_whole(bundle: Path, tmp_path: Path, damage: str) -> None:
    DAMAGE[damage](bundle)
    with pytest.raises(BundleInvalid) as raised:
        import_bundle(bundle, tmp_path / "other")
    assert "\n" not in str(raised.value)
    if (tmp_path / "other").exists():
        assert len(open_store(tmp_path / "other").runs()) == 0


def test_a_bundle_of_a_later_schema_is_refused(bundle: Path, tmp_path: Path) -> None:
    _manifest(bundle, schema=2)
    with pytest.raises(StoreTooNew):
        import_bundle(bundle, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="cannot be read"):
        import_bundle(tmp_path / "none", tmp_path / "other")
