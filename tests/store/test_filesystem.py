"""Network file systems: segments may lie there, databases and locks may not."""

from pathlib import Path

import pytest
from stores import write_run

from depthscope.store import (
    Delivery,
    DepthscopeError,
    NetworkFileSystem,
    compact,
    deliver,
    filesystem,
    ingest,
    open_store,
)


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """A mount table that says of a folder what it is."""
    table = tmp_path / "mounts"
    table.write_text("/dev/sda / ext4 rw 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", table)

    def mount(place: Path, kind: str) -> None:
        name = str(place.resolve()).replace("\\", "\\134").replace(" ", "\\040")
        table.write_text(table.read_text() + f"server:/x {name} {kind} rw,relatime 0 0\n")

    return mount


@pytest.mark.parametrize(
    ("kind", "network"),
    [("nfs4", True), ("nfs", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("xfs", False)],
)
def test_the_kind_is_that_of_the_innermost_mount(kind, network, tmp_path, mounted):
    shared = tmp_path / "with space"
    mounted(tmp_path, "ext4")
    mounted(shared, kind)
    assert filesystem.network_kind(shared / "a" / "b") == (kind if network else None)
    assert filesystem.network_kind(tmp_path / "with space2") is None
    mounted(shared / "local", "ext4")
    assert filesystem.network_kind(shared / "local" / "b") is None


def test_without_a_mount_table_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "none")
    assert filesystem.network_kind(tmp_path) is None


def test_writers_and_readers_work_there_and_folding_is_refused_with_the_reason(root, mounted):
    mounted(root, "nfs4")
    write_run(root)
    for fold in (ingest, compact):
        with pytest.raises(
            NetworkFileSystem, match=r"expected a lock on a local disk, .* is on nfs4, .*--to LOCAL_FOLDER"
        ):
            fold(root)
    assert not (root / "depthscope.duckdb").exists()
    assert len(open_store(root).layer_stats()) == 6


def test_a_database_that_was_put_there_is_not_opened(root, mounted):
    write_run(root)
    ingest(root)
    mounted(root, "cifs")
    with pytest.raises(NetworkFileSystem, match="expected a database on a local disk"):
        open_store(root)


def test_several_hosts_share_a_spool_and_one_keeps_the_database_at_home(root, tmp_path, mounted):
    mounted(root, "nfs4")
    home = tmp_path / "home"
    write_run(root, "a")
    assert deliver(root, str(home)) == Delivery(2)
    write_run(root, "b")
    assert deliver(root, str(home)) == Delivery(2)
    assert deliver(root, str(home)) == Delivery()
    assert open_store(home).layer_stats().groupby("run").size().to_dict() == {"a": 6, "b": 6}
    assert [path.name for path in (root / "spool").glob("*.parquet")] == ["0-sentinel.parquet"]
    with pytest.raises(DepthscopeError, match="has one; bring its runs over by export"):
        deliver(home, str(tmp_path / "third"))
    with pytest.raises(DepthscopeError, match="another folder"):
        deliver(root, str(root))
