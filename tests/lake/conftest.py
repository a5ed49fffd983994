"""A real PostgreSQL on loopback, and DuckLake on it. Skipped where either is missing; `.ci/lake` installs both."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from deliveries import REQUIRED
from postgres import Server, find_binaries

from depthscope.store.targets.extensions import ExtensionMissing, load


def _missing() -> str | None:
    if find_binaries() is None:
        return "PostgreSQL is not installed"
    try:
        with duckdb.connect() as connection:
            load(connection, "ducklake", "postgres_scanner")
    except ExtensionMissing as missing:
        return str(missing)
    return None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs."""
    missing = _missing()
    if missing and REQUIRED:
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    server = Server(Path(f"/tmp/depthscope-pg-{os.getpid()}"))  # short, because it holds a socket
    server.make()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def url(postgres: Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new database, as the target of deliveries; its password is where libpq looks for it."""
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    return postgres.database(f"lake{abs(hash(request.node.nodeid)) % 10**9}")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Where the lake keeps its Parquet files."""
    folder = tmp_path / "lake data"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers start no ingest of their own."""
    monkeypatch.setattr("depthscope.store.spool.start_ingest", lambda path: None)
