"""What the background does besides ingesting: it compacts at each doubling, and only where it is in nobody's way."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from stores import process, script, stats, wait_until, write_run

from depthscope.store import RunInfo, check_store, compact, ingest, open_run, open_store, start_ingest
from depthscope.store.layout import Layout
from depthscope.store.upkeep import compact_when_due, has_doubled


@pytest.fixture
def small() -> Iterator[None]:
    """Databases of this size are worth it here."""
    with mock.patch("depthscope.store.upkeep._SMALLEST", 1):
        yield


def grow(root: Path, *runs: str) -> None:
    """Enough rows that the file is several blocks larger."""
    for run in runs:
        writer = open_run(root, RunInfo(run))
        for step in range(600):
            values = {f"m{i}": (step * i * 0.61) % 1 for i in range(12)}
            writer.write(*(stats(step, layer, **values) for layer in range(24)))
        writer.close()
        ingest(root)


def test_a_small_database_is_left_alone(root: Path) -> None:
    write_run(root)
    ingest(root)
    assert not has_doubled(Layout(root))
    assert compact_when_due(Layout(root)) is None
    assert not has_doubled(Layout(root / "none"))


@pytest.mark.usefixtures("small")
def test_it_is_compacted_once_a_doubling(root: Path) -> None:
    layout = Layout(root)
    write_run(root)
    ingest(root)
    first = compact_when_due(layout)
    assert first is not None and first.after == int(layout.compacted.read_text())
    assert compact_when_due(layout) is None
    grow(root, "b", "c")
    before = len(open_store(root).layer_stats())
    second = compact_when_due(layout)
    assert second is not None and second.before >= 2 * first.after
    assert len(open_store(root).layer_stats()) == before
    layout.compacted.write_text("what somebody else left here")
    assert has_doubled(layout)


@pytest.mark.usefixtures("small")
def test_neither_a_large_one_nor_one_on_a_full_disk(root: Path) -> None:
    write_run(root)
    ingest(root)
    size = (root / "depthscope.duckdb").stat().st_size
    with mock.patch("depthscope.store.upkeep._LARGEST", size - 1):
        assert compact_when_due(Layout(root)) is None
    with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=size)):
        assert compact_when_due(Layout(root)) is None
    assert compact_when_due(Layout(root)) is not None


HOLD = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    print("held", flush=True)
    input()
"""


@pytest.mark.usefixtures("small")
def test_whoever_holds_the_database_goes_first(root: Path) -> None:
    write_run(root)
    ingest(root)
    with process(HOLD, root / "depthscope.duckdb") as holder, mock.patch("depthscope.store.upkeep._PATIENCE", 0.1):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert compact_when_due(Layout(root)) is None
        holder.communicate("\n")
    assert compact_when_due(Layout(root)) is not None


def test_the_background_process_compacts_and_doctor_says_when_it_is_due(root: Path) -> None:
    grow(root, "a")
    command = """
        import sys, warnings
        from pathlib import Path
        from depthscope.store import upkeep
        upkeep._SMALLEST = 1
        print(upkeep.main(Path(sys.argv[1])))
    """
    assert " MB compacted to " in script(command, root).stdout
    assert script(command, root).stdout == "0 segments folded, 0 torn\n"
    with mock.patch("depthscope.store.upkeep._SMALLEST", 1):
        assert {check.name: check.state for check in check_store(root)}["size"] == "ok"
        (root / "compacted").unlink()
        [due] = [check for check in check_store(root) if check.name == "size"]
    assert (due.state, due.advice) == ("note", "run `depthscope compact`")


def test_start_ingest_leads_here(root: Path) -> None:
    grow(root, "a")
    compact(root)
    write_run(root, "b")
    start_ingest(root)
    wait_until(lambda: not list((root / "spool").glob("0?*-*-*.parquet")))
    assert open_store(root).runs()["run"].tolist() == ["a", "b"]
