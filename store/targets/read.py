"""A target as a store to read: the same questions, asked of a lake."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import duckdb

from ..errors import StoreMissing
from ..reader import Store, make_views
from ..schema import literal
from ..tail import Tail, load_tail
from . import ducklake
from .url import target_url

__all__ = ["RemoteStore"]


class _Lake:
    """One open lake of this process: to open it takes a hundred times as long as to ask it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = threading.Lock()
        self._open: duckdb.DuckDBPyConnection | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one query's own, which sees the newest rows; opened anew where the catalog was away."""
        with self._opening:
            if self._open is not None:
                try:
                    return self._cursor(self._open)
                except duckdb.Error:
                    self._open.close()
            self._open = _shut(ducklake.attached(self._url, read_only=True))
            return self._cursor(self._open)

    def _cursor(self, lake: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        cursor = lake.cursor()
        cursor.execute(f"USE {ducklake.NAME}")
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM duckdb_tables() LIMIT 1").fetchall()  # asks the catalog
        return cursor


_lake = cache(_Lake)


def _shut(lake: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Let queries reach the lake's files and nothing else."""
    folder = lake.execute(f"SELECT data_path FROM ducklake_settings('{ducklake.NAME}')").fetchall()[0][0]
    lake.execute(f"SET allowed_directories = [{literal(folder)}]")
    lake.execute("SET enable_external_access = false")
    lake.execute("SET lock_configuration = true")
    return lake


@dataclass(frozen=True)
class RemoteStore(Store):
    """A lake that deliveries go to; `path` is its URL. What still waits in spools is not seen."""

    @property
    def url(self) -> str:
        """Where it is."""
        return target_url(self.path) or str(self.path)

    def check(self) -> None:
        """Raise StoreMissing where nothing was delivered yet, StoreBusy where the catalog cannot be reached."""
        with self._cursor() as cursor:
            if not ducklake.has_tables(cursor):
                raise StoreMissing(f"expected runs at {self.url}, found none; depthscope ingest STORE --to brings them")

    @contextmanager
    def union(self, query: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Tail]]:
        """A connection in which the tables that `query` names are those of the lake, at one moment."""
        with self._cursor() as cursor:
            tail = load_tail(cursor, f"{ducklake.NAME}.main.", [])
            make_views(cursor, tail, query)
            yield cursor, tail

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = _lake(self.url).cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def shut(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Every connection to a lake is shut from the start."""
