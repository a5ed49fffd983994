"""Bringing a database of an older schema up to date, in place, after a copy of it was put beside it."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress

import duckdb

from .connect import Deadline, opened
from .errors import DepthscopeError, SchemaTooOld, StoreBusy
from .layout import Layout, fsync_folder
from .schema import SCHEMA_VERSION, schema_sql

__all__ = ["MIGRATIONS", "migrate", "stored_version"]

Migration = Callable[[duckdb.DuckDBPyConnection], None]

MIGRATIONS: dict[int, Migration] = {}
"""From which version -> what makes it the next one. Tables that are new need no entry: schema.sql makes what is not
there. Released entries never change."""


def stored_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The schema of the database, None when it is not one of ours."""
    try:
        found = connection.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
    except duckdb.CatalogException:
        return None
    return None if found is None else int(found)


def migrate(layout: Layout, deadline: Deadline) -> bool:
    """Migrate when the schema is older; whether it was. The caller holds ingest.lock.

    All steps are one transaction, so a kill leaves the old schema. The copy is `depthscope.v<version>.duckdb`; it is
    kept. Raises SchemaTooOld when a step is missing, StoreBusy, and DepthscopeError when a step fails.
    """
    with opened(layout.database, deadline, read_only=True) as connection:
        version = stored_version(connection)
    if version is None or version >= SCHEMA_VERSION:
        return False
    if missing := [step for step in range(version, SCHEMA_VERSION) if step not in MIGRATIONS]:
        raise SchemaTooOld(
            f"expected schema {SCHEMA_VERSION} at {layout.root}, found {version}, and nothing leads on from "
            f"{missing[0]}; export its runs with the depthscope that wrote it"
        )
    with opened(layout.database, deadline, read_only=False) as connection:
        connection.execute("CHECKPOINT")
    copied = _back_up(layout, version)
    with opened(layout.database, deadline, read_only=False) as connection:
        if _state(layout) != copied:
            raise StoreBusy(f"expected {layout.database} at rest, another process has just written to it; try again")
        _apply(connection, layout, version)
    return True


def _back_up(layout: Layout, version: int) -> tuple[int, int]:
    """Copy the file, and say in what state it was. Not while it is open here: closing any handle of a file drops the
    locks that the process has on it."""
    target = layout.database.with_name(f"depthscope.v{version}.duckdb")
    draft = target.with_suffix(".tmp")
    before = _state(layout)
    with layout.database.open("rb") as source, draft.open("wb") as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        os.fsync(copy.fileno())
    draft.rename(target)
    fsync_folder(layout.root)
    return before


def _state(layout: Layout) -> tuple[int, int]:
    state = layout.database.stat()
    return state.st_mtime_ns, state.st_size


def _apply(connection: duckdb.DuckDBPyConnection, layout: Layout, version: int) -> None:
    connection.execute("BEGIN")
    try:
        views = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND database_name = current_database()"
        for (view,) in connection.execute(views).fetchall():
            connection.execute(f'DROP VIEW "{view}"')  # they hang on the tables; the next ingest makes them anew
        for step in range(version, SCHEMA_VERSION):
            MIGRATIONS[step](connection)
        connection.execute(schema_sql())
        connection.execute("UPDATE schema_version SET version = ?", [SCHEMA_VERSION])
        connection.execute("COMMIT")
    except duckdb.Error as error:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
            connection.execute("ROLLBACK")
        raise DepthscopeError(
            f"cannot bring {layout.root} from schema {version} to {SCHEMA_VERSION}; it is as it was: "
            f"{str(error).splitlines()[0]}"
        ) from error
