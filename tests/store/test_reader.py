import threading
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from stores import flushed, process, script, stats, wait_until, write_run

from depthscope.store import (
    DepthscopeError,
    Distance,
    Event,
    Intervention,
    LayerEffect,
    NotAStore,
    RunInfo,
    Scalar,
    SparsityLayer,
    SparsityPoint,
    Step,
    Store,
    StoreBusy,
    StoreMissing,
    default_store,
    ingest,
    look,
    open_run,
    open_store,
)


@pytest.fixture
def halves(root: Path) -> Path:
    """A store of which run a is in the database and run b in the spool."""
    write_run(root, "a")
    ingest(root)
    write_run(root, "b")
    return root


def test_the_default_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEPTHSCOPE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_store() == Path("depthscope-runs")
    monkeypatch.setenv("DEPTHSCOPE_STORE", str(tmp_path / "elsewhere"))
    write_run(default_store())
    assert open_store().path == tmp_path / "elsewhere"


def test_what_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"expected a store at .*none, found nothing"):
        open_store(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotAStore, match="found neither"):
        open_store(tmp_path / "folder")
    (tmp_path / "file").write_text("hello")
    with pytest.raises(NotAStore, match="found neither"):
        open_store(tmp_path / "file")


@pytest.mark.parametrize("content", ["text", "another database"])
def test_a_database_that_is_not_ours(root: Path, content: str) -> None:
    root.mkdir()
    if content == "text":
        (root / "depthscope.duckdb").write_text("hello " * 1000)
    else:
        duckdb.connect(str(root / "depthscope.duckdb")).close()
    with pytest.raises(NotAStore) as raised:
        open_store(root)
    assert "\n" not in str(raised.value)


def test_the_database_file_stands_for_its_store(halves: Path) -> None:
    assert open_store(halves / "depthscope.duckdb").path == halves


def test_database_and_spool_are_one(halves: Path) -> None:
    store = open_store(halves)
    assert list(store.runs()["run"]) == ["a", "b"]
    assert list(store.attempts()["run"]) == ["a", "b"]
    assert store.layer_stats(layers=1).to_dict("split")["data"] == [
        [run, step, "train", "main", 1, "resid_post", 10.0 + step] for run in "ab" for step in range(3)
    ]
    assert store.sql("SELECT count(*) AS n FROM all_layer_stats")["n"].tolist() == [12]


def test_a_store_without_rows_has_frames_with_columns(root: Path) -> None:
    open_run(root, RunInfo("a")).close()
    store = open_store(root)
    assert list(store.layer_stats().columns) == ["run", "step", "phase", "stack", "layer", "site"]
    assert list(store.layer_stats(columns=["variance"]).columns)[6:] == ["variance"]
    assert len(store.steps()) == len(store.massive()) == len(store.events()) == len(store.scalars()) == 0


class TestFilters:
    def test_by_run(self, halves: Path) -> None:
        store = open_store(halves)
        assert set(store.layer_stats(runs="b")["run"]) == {"b"}
        assert set(store.layer_stats(runs=["b", "nobody"])["run"]) == {"b"}
        assert len(store.layer_stats(runs=[])) == 0
        assert len(store.layer_stats(runs=["a' OR true --"])) == 0

    def test_by_step_both_ends_included(self, halves: Path) -> None:
        store = open_store(halves)
        assert set(store.layer_stats(steps=(1, 2))["step"]) == {1, 2}
        assert set(store.layer_stats(steps=(None, 0))["step"]) == {0}

    def test_by_site_phase_and_layer(self, halves: Path) -> None:
        store = open_store(halves)
        assert len(store.layer_stats(site="resid_post", phase=["train", "probe"], layers=[1, 2])) == 12
        assert len(store.layer_stats(site="block")) == len(store.layer_stats(phase="probe")) == 0

    def test_by_column(self, halves: Path) -> None:
        frame = open_store(halves).layer_stats(columns=["kurtosis", "variance", 'x"; DROP TABLE runs; --', "STEP"])
        assert list(frame.columns[6:]) == ["kurtosis", "variance", 'x"; DROP TABLE runs; --']
        assert frame["kurtosis"].isna().all()
        assert frame["variance"].notna().all()

    def test_steps_scalars_and_events(self, root: Path) -> None:
        writer = open_run(root, RunInfo("a"))
        writer.write(Step(0, 1.0, loss=2.0), Step(1, 2.0, loss=1.0), Scalar(0, "x", 3.0), Scalar(0, "y", 4.0))
        writer.write(Event(1, "note", "hi"))
        writer.close()
        store = open_store(root)
        assert store.steps(columns=["loss"], steps=(1, None)).to_dict("split")["data"] == [["a", 1, 1.0]]
        assert store.scalars(name="y").to_dict("split")["data"] == [["a", 0, "y", 4.0]]
        assert store.events("a").to_dict("split")["data"] == [["a", 1, "note", "hi"]]


class TestSql:
    def test_parameters(self, halves: Path) -> None:
        store = open_store(halves)
        assert store.sql("SELECT run FROM runs WHERE run = ?", ["a"])["run"].tolist() == ["a"]
        assert store.sql("SELECT run FROM runs WHERE run = $name", {"name": "b"})["run"].tolist() == ["b"]
        assert len(store.sql("EXPLAIN SELECT 1")) == 1

    @pytest.mark.parametrize(
        "query",
        [
            "DELETE FROM runs",
            "INSERT INTO layer_stats (run) VALUES ('x')",
            "DROP VIEW runs",
            "CREATE TABLE x (i INTEGER)",
            "UPDATE main.runs SET run = 'x'",
            "SET threads = 1",
            "ATTACH '{folder}/other.duckdb'",
            "COPY (SELECT 1) TO '{folder}/out.csv'",
            "CALL pragma_version()",
            "SELECT 1; DROP TABLE runs",
            "",
            "SELEC 1",
            "SELECT * FROM nothing",
            "SELECT * FROM read_text('{folder}/secret')",
            "SELECT * FROM '{folder}/secret.csv'",
            "SELECT * FROM query('DROP TABLE runs')",
            "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
            "SELECT * FROM halves",
        ],
    )
    def test_it_can_only_read_the_store(self, halves: Path, tmp_path: Path, query: str) -> None:
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "secret.csv").write_text("secret\n1\n")
        with pytest.raises(DepthscopeError) as raised:
            open_store(halves).sql(query.format(folder=tmp_path))
        assert "\n" not in str(raised.value)
        assert {path.name for path in tmp_path.iterdir()} == {"runs", "secret", "secret.csv"}
        assert list(open_store(halves).runs()["run"]) == ["a", "b"]


HOLD = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "ro")
    print("held", flush=True)
    input()
"""


class TestBusy:
    def test_another_process_writes(self, halves: Path) -> None:
        with process(HOLD, halves / "depthscope.duckdb", "rw") as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(StoreBusy, match=rf"within 0.1 s, python.* \(process {holder.pid}\) holds it") as raised:
                Store(halves, patience=0.1).runs()
            assert "\n" not in str(raised.value)
            write_run(halves, "c")  # a training run does not notice
            holder.communicate("\n")
        assert list(open_store(halves).runs()["run"]) == ["a", "b", "c"]

    def test_another_process_reads(self, halves: Path) -> None:
        with process(HOLD, halves / "depthscope.duckdb", "ro") as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert len(Store(halves, patience=0.1).runs()) == 2
            holder.communicate("\n")

    def test_the_same_process_reads(self, halves: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.csv").write_text("x\n1\n")
        with duckdb.connect(str(halves / "depthscope.duckdb"), read_only=True) as mine:
            assert len(open_store(halves).sql("SELECT * FROM runs")) == 2
            # The user's own connection is as it was.
            assert mine.execute(f"SELECT * FROM '{tmp_path}/mine.csv'").fetchall() == [(1,)]
            with process("import duckdb, sys; duckdb.connect(sys.argv[1])", halves / "depthscope.duckdb") as other:
                assert "lock" in other.communicate()[1], "our connection has taken the lock of the user's along"

    def test_the_same_process_writes(self, halves: Path) -> None:
        with (
            duckdb.connect(str(halves / "depthscope.duckdb")),
            pytest.raises(StoreBusy, match="another connection of this process"),
        ):
            Store(halves, patience=0.1).runs()

    def test_another_thread_reads(self, halves: Path) -> None:
        entered, leave = threading.Event(), threading.Event()

        def dawdle(*_: object) -> None:
            entered.set()
            leave.wait(30)

        with mock.patch("depthscope.store.look._shut", side_effect=dawdle):
            thread = threading.Thread(target=open_store(halves).sql, args=("SELECT 1",))
            thread.start()
            assert entered.wait(30)
            with (
                mock.patch("depthscope.store.connect._OWN_QUERY", 0.05),
                pytest.raises(StoreBusy, match="another query of this process"),
            ):
                open_store(halves).runs()
            leave.set()
            thread.join()
        assert len(open_store(halves).runs()) == 2


class TestOneLook:
    def test_queries_share_what_the_first_one_opens(self, halves: Path) -> None:
        store = open_store(halves)
        with mock.patch("depthscope.store.look.load_tail", wraps=look.load_tail) as loads:
            with store.one_look():
                assert len(store.runs()) == 2
                assert store.sql("SELECT count(*) AS n FROM layer_stats")["n"].tolist() == [12]
                assert len(store.layer_stats()) == 12
                assert store.sql("SELECT count(*) AS n FROM all_runs")["n"].tolist() == [2]
            assert loads.call_count == 1
            store.runs()
        assert loads.call_count == 2

    def test_it_is_the_same_moment_until_it_is_old(self, halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = open_store(halves)
        with store.one_look():
            assert len(store.runs()) == 2
            write_run(halves, "c")
            assert len(store.runs()) == 2
            monkeypatch.setattr(look, "LONGEST", 0.0)
            assert len(store.runs()) == 3

    def test_what_this_thread_opens_otherwise_ends_it(self, halves: Path) -> None:
        """Nothing waits for the lock that its own look holds."""
        store = open_store(halves)
        with store.one_look():
            assert len(store.runs()) == 2
            assert ingest(halves).folded > 0
            assert len(open_store(halves).runs()) == 2
            assert len(store.layer_stats()) == 12

    def test_another_store_in_between(self, halves: Path, tmp_path: Path) -> None:
        write_run(tmp_path / "other", "x")
        ingest(tmp_path / "other")
        store, other = open_store(halves), open_store(tmp_path / "other")
        with store.one_look(), other.one_look():
            assert store.runs()["run"].tolist() == ["a", "b"]
            assert other.runs()["run"].tolist() == ["x"]
            assert store.runs()["run"].tolist() == ["a", "b"]

    def test_a_wrong_query_leaves_the_next_ones_right(self, halves: Path) -> None:
        store = open_store(halves)
        with store.one_look():
            with pytest.raises(DepthscopeError, match="the query failed"):
                store.sql("SELECT nothing FROM runs")
            with pytest.raises(DepthscopeError, match="the query failed"):
                store.sql("SELECT * FROM read_csv('/etc/passwd')")
            assert len(store.runs()) == 2

    def test_nothing_stays_open(self, halves: Path) -> None:
        store = open_store(halves)
        with pytest.raises(ZeroDivisionError), store.one_look():
            store.runs()
            raise ZeroDivisionError
        done = script("import duckdb, sys; duckdb.connect(sys.argv[1]).close()", halves / "depthscope.duckdb")
        assert done.returncode == 0, done.stderr


def test_a_mark_changes_with_the_store(root: Path) -> None:
    write_run(root, "a")
    store = open_store(root)
    waiting = store.mark()
    assert store.mark() == waiting
    ingest(root)
    folded = store.mark()
    write_run(root, "b")
    assert len({waiting, folded, store.mark()}) == 3


class TestNeverPartial:
    def test_a_segment_that_goes_while_it_is_read(self, halves: Path) -> None:
        """A file vanishes between listing and reading only when it was folded since: the reader looks again."""
        real = look.list_segments
        calls = []

        def listed(spool: Path) -> list[object]:
            calls.append(spool)
            found = list(real(spool))
            if len(calls) == 1:
                found[-1] = found[-1]._replace(path=spool / "gone.parquet")
            return found

        with mock.patch.object(look, "list_segments", listed):
            assert len(open_store(halves).layer_stats()) == 12
        assert len(calls) == 2

    def test_the_first_ingest_comes_in_between(self, root: Path) -> None:
        write_run(root)
        real = look.list_segments

        def listed(spool: Path) -> list[object]:
            if not (root / "depthscope.duckdb").exists():  # later the reader itself has it open
                ingest(root)
            return list(real(spool))

        with mock.patch.object(look, "list_segments", listed):
            assert len(open_store(root).layer_stats()) == 6

    def test_readers_beside_a_writer_and_an_ingester_see_each_row_once(self, root: Path, quick: None) -> None:
        writer = open_run(root, RunInfo("a"))
        store = open_store(root)
        for step in range(12):
            writer.write(stats(step, 1))
            wait_until(lambda: flushed(writer))
            thread = threading.Thread(target=ingest, args=(root,))
            thread.start()
            assert store.layer_stats()["step"].tolist() == list(range(step + 1))
            thread.join()
        writer.close()
        assert store.layer_stats()["step"].tolist() == list(range(12))


def test_held_out_measurements_come_back_as_they_were_written(tmp_path: Path) -> None:
    records = [
        Intervention(4, "main", 2, 1, "block", "skip", 2.5, 0.25, 0.001, 64),
        Distance(4, "main", 1, 3, 0.125),
        LayerEffect(4, "main", None, None, "participation_ratio", 0.5),
        SparsityPoint(4, "oneshot_ce", "2:4", "matrix", "magnitude", "init", 0.5, 3.5, 0.01, 64),
        SparsityLayer(4, "main", 2, "mlp.up.weight", 0.001, near_zero=0.0625),
    ]
    with_run = open_run(tmp_path, RunInfo("r"))
    with_run.write(*records)
    with_run.close()
    store = open_store(tmp_path)
    read = {
        "interventions": store.interventions("r", action="skip"),
        "distances": store.distances("r"),
        "layer_effects": store.layer_effects("r", measure="participation_ratio"),
        "sparsity": store.sparsity("r"),
        "sparsity_layers": store.sparsity_layers("r"),
    }
    assert [tuple(read["interventions"].iloc[0])] == [("r", 4, "main", 2, 1, "block", "skip", 2.5, 0.25, 0.001, 64)]
    assert [tuple(read["distances"].iloc[0])] == [("r", 4, "main", 1, 3, 0.125)]
    assert read["layer_effects"].value.tolist() == [0.5]
    assert read["layer_effects"].layer.isna().all()
    assert [tuple(read["sparsity"].iloc[0])] == [
        ("r", 4, "oneshot_ce", "2:4", "matrix", "magnitude", "init", 0.5, 3.5, 0.01, 64)
    ]
    assert read["sparsity_layers"].near_zero.tolist() == [0.0625]
    assert read["sparsity_layers"].pruned_share.isna().all()
