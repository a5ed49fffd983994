"""One lake, open for reading: to open it takes a hundred times as long as to ask it."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb

from ..errors import StoreMissing
from ..look import make_views
from ..reader import one_select
from ..schema import literal
from ..tail import load_tail
from . import ducklake

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Lake"]


class Lake:
    """Opens at the first question, and anew where the catalog was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: duckdb.DuckDBPyConnection | None = None

    def check(self) -> None:
        """Raise StoreMissing where nothing was delivered yet, DepthscopeError where a newer depthscope did it."""
        with closing(self.cursor()) as cursor:
            if not ducklake.has_tables(cursor):
                raise StoreMissing(
                    f"expected runs at {self._url}, found none; depthscope ingest STORE --to brings them"
                )

    def columns(self) -> dict[str, str]:
        """Name and type of the columns of layer_stats."""
        with closing(self.cursor()) as cursor:
            found = cursor.execute("SELECT column_name, column_type FROM (DESCRIBE layer_stats)").fetchall()
            return {str(name): str(kind) for name, kind in found}

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any], own: bool) -> "pd.DataFrame":
        """The answer to a question; `own` ones are ours, others must be one SELECT."""
        with closing(self.cursor()) as cursor:
            make_views(cursor, load_tail(cursor, f"{ducklake.NAME}.main.", []), sql)
            if not own:
                return one_select(cursor, sql, params)
            frame: pd.DataFrame = cursor.execute(sql, params if isinstance(params, Mapping) else list(params)).df()
            return frame

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
