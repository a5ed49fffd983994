"""One lake, open for reading: to open it takes a hundred times as long as to ask it."""

import duckdb

from ..schema import literal
from . import ducklake

__all__ = ["Lake"]


class Lake:
    """Opens at the first question, and anew where the catalog was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: duckdb.DuckDBPyConnection | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one query's own, which sees the newest rows."""
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
        cursor.execute(f"FROM ducklake_current_snapshot('{ducklake.NAME}')").fetchall()  # asks the catalog
        return cursor


def _shut(lake: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Let queries reach the lake's files and nothing else."""
    folder = lake.execute(f"SELECT data_path FROM ducklake_settings('{ducklake.NAME}')").fetchall()[0][0]
    lake.execute(f"SET allowed_directories = [{literal(folder)}]")
    lake.execute("SET enable_external_access = false")
    lake.execute("SET lock_configuration = true")
    return lake
