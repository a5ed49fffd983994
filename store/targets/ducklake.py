"""DuckLake: the catalog in PostgreSQL (or a file), the rows as Parquet files in a folder or bucket.

https://ducklake.select/docs
It has no primary keys and no locks. Every delivery changes the one row of table `turns`: of two that overlap the second
to commit fails, as its marks are no longer what it saw, and is done again.
"""

import re
from contextlib import suppress

import duckdb

from ..connect import quiet
from ..errors import DepthscopeError, StoreBusy
from ..fold import Dialect
from ..schema import SCHEMA_VERSION, literal, quote, schema_sql
from .extensions import load
from .turns import Overtaken

__all__ = ["NAME", "attached", "dialect", "ensure_tables", "has_tables", "tidy", "tidy_when_due"]

NAME = "lake"
_MANY = 100  # files of one table that call for fewer
_LARGE = "64MB"  # files of this size are left as they are
_KEPT = "INTERVAL 1 HOUR"  # for readers that still look at the state before
_CATALOGS = {"postgres": "postgres_scanner", "sqlite": "sqlite_scanner"}


def attached(url: str, data: str | None = None, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection whose current database is the lake. `data`: where a new one keeps its Parquet files.

    Raises ExtensionMissing; StoreBusy where the catalog cannot be reached; DepthscopeError where there is no lake.
    """
    options = ", ".join([*(["READ_ONLY"] if read_only else []), *([f"DATA_PATH {literal(data)}"] if data else [])])
    connection = quiet(duckdb.connect(":memory:", config={"python_enable_replacements": False}))
    try:
        kind = url.removeprefix("ducklake:").partition(":")[0]
        load(connection, "ducklake", *([_CATALOGS[kind]] if kind in _CATALOGS else []))
        _attach(connection, f"ATTACH {literal(url)} AS {NAME} {f'({options})' if options else ''}")
        connection.execute(f"USE {NAME}")
    except duckdb.Error as error:
        connection.close()
        raise _refusal(url, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _attach(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run the ATTACH of a lake. Where its files lie, and so what it takes to reach them, is in its catalog."""
    try:
        connection.execute(statement)
    except duckdb.Error as error:
        needed = re.search(r"required extension '(\w+)'", str(error))
        if needed is None:
            raise
        load(connection, needed[1])
        connection.execute(statement)


def _refusal(url: str, error: duckdb.Error) -> DepthscopeError:
    said = str(error)
    line = re.sub(r"password=\S+", "password=...", said.splitlines()[0])
    if "DATA_PATH" in said or ("does not exist" in said and "database" not in said):
        return DepthscopeError(f"expected a lake at {url}: {line}; make it with --data DIR_OR_BUCKET")
    told = re.search(r"(?:FATAL:|failed:)\s*((?:(?!FATAL:).)+)$", said, re.MULTILINE)
    return StoreBusy(f"expected to reach {url}: {(told[1] if told else said.splitlines()[-1]).strip()[:200]}")


def has_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the lake has been made ready; DepthscopeError where a newer depthscope did it."""
    try:
        found = connection.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
    except duckdb.CatalogException:
        return False
    if found is not None and found > SCHEMA_VERSION:
        raise DepthscopeError(f"expected schema {SCHEMA_VERSION} or older, found {found}; upgrade depthscope")
    return found is not None


def ensure_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of a new lake, in one transaction; whoever comes second finds them there."""
    if has_tables(connection):
        return
    statements = re.sub(r",?\s*PRIMARY KEY(\s*\([^)]*\))?", "", schema_sql())
    try:
        connection.execute("BEGIN")
        connection.execute(statements)
        connection.execute("CREATE TABLE IF NOT EXISTS turns (n BIGINT)")
        connection.execute("INSERT INTO turns VALUES (0)")
        connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])
        connection.execute("COMMIT")
        connection.execute(f"CALL {NAME}.set_option('target_file_size', '{_LARGE}')")
        connection.execute(f"CALL {NAME}.set_option('parquet_compression', 'zstd')")
    except duckdb.Error as error:
        raise StoreBusy(f"could not make the tables of the lake: {str(error).splitlines()[-1][:200]}") from error


def tidy_when_due(connection: duckdb.DuckDBPyConnection) -> None:
    """Make few files of many; each delivery adds some. Where another process is at it, it is left to that one."""
    if max(_files(connection), default=0) < _MANY:
        return
    with suppress(duckdb.Error):
        tidy(connection)


def tidy(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Merge small files and forget old states of the lake; how many files its tables had before and have now.

    What was merged stays on disk for an hour, for readers that began before.
    """
    before = sum(_files(connection))
    connection.execute(f"CALL ducklake_merge_adjacent_files('{NAME}')")
    connection.execute(f"CALL ducklake_expire_snapshots('{NAME}', older_than => now() - {_KEPT})")
    connection.execute(f"CALL ducklake_cleanup_old_files('{NAME}', older_than => now() - {_KEPT})")
    return before, sum(_files(connection))


def _files(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """How many files each table has."""
    return [row[0] for row in connection.execute(f"SELECT file_count FROM ducklake_table_info('{NAME}')").fetchall()]


def dialect(turn: int) -> Dialect:
    """How rows are folded into a lake whose marks were read at `turn`."""

    def began(connection: duckdb.DuckDBPyConnection) -> None:
        if connection.execute("SELECT max(n) FROM turns").fetchall()[0][0] != turn:
            raise Overtaken
        connection.execute("UPDATE turns SET n = n + 1")

    return Dialect(_replace, began)


def _replace(connection: duckdb.DuckDBPyConnection, table: str, key: tuple[str, ...], rows: str) -> None:
    keys = f"({', '.join(key)})"
    name = quote(table)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE replacing AS {rows}")
    connection.execute(f"DELETE FROM {name} WHERE {keys} IN (SELECT {keys} FROM replacing)")
    connection.execute(f"INSERT INTO {name} BY NAME FROM replacing")
