"""Older schemas are migrated in one transaction, with a copy kept; here a made-up version 0 without `environment`."""

from pathlib import Path
from unittest import mock

import duckdb
import pytest
from stores import write_run

from depthscope.store import DepthscopeError, SchemaTooOld, check_store, ingest, open_store
from depthscope.store.migrate import MIGRATIONS


@pytest.fixture
def old(root: Path) -> Path:
    write_run(root)
    ingest(root)
    with duckdb.connect(str(root / "depthscope.duckdb")) as connection:
        for (view,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            connection.execute(f"DROP VIEW {view}")
        connection.execute(
            "ALTER TABLE runs DROP environment; DROP TABLE scalars; UPDATE schema_version SET version = 0"
        )
    return root


def add_environment(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE runs ADD COLUMN environment JSON")


def columns(database: Path) -> list[str]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info('runs')").fetchall()]


@pytest.mark.parametrize("how", [open_store, ingest])
def test_an_older_store_is_migrated_and_a_copy_kept(old: Path, how) -> None:  # type: ignore[no-untyped-def]
    write_run(old, "b")
    with mock.patch.dict(MIGRATIONS, {0: add_environment}):
        how(old)
    store = open_store(old)
    assert list(store.runs()["run"]) == ["a", "b"]
    assert store.scalars().empty
    assert len(store.layer_stats()) == 12
    assert "environment" not in columns(old / "depthscope.v0.duckdb")
    ingest(old)
    assert {check.state for check in check_store(old)} == {"ok"}


def test_a_step_that_fails_changes_nothing(old: Path) -> None:
    def half(connection: duckdb.DuckDBPyConnection) -> None:
        add_environment(connection)
        connection.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")

    with mock.patch.dict(MIGRATIONS, {0: half}), pytest.raises(DepthscopeError, match="it is as it was") as raised:
        open_store(old)
    assert "\n" not in str(raised.value)
    assert "environment" not in columns(old / "depthscope.duckdb")
    with mock.patch.dict(MIGRATIONS, {0: add_environment}):
        assert list(open_store(old).runs()["run"]) == ["a"]


def test_where_no_way_leads_on(old: Path) -> None:
    for attempt in (open_store, ingest):
        with pytest.raises(SchemaTooOld, match="nothing leads on from 0"):
            attempt(old)
    assert not (old / "depthscope.v0.duckdb").exists()
