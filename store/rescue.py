"""A new database out of a damaged one: its rows as far as they can be read, then the segments above its marks."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from . import claims
from .connect import Deadline, quiet
from .ingest import fold_all, new_database
from .layout import Layout, fsync_folder
from .lock import only_one
from .schema import base_columns, literal, quote

__all__ = ["Rescued", "rescue"]

_PATIENCE = 10.0  # seconds to wait for an ingest that runs


@dataclass(frozen=True)
class Rescued:
    """Rows that came out of the damaged file, segments folded in after them, what could not be read, where the damaged
    file is now."""

    rows: int
    segments: int
    kept: Path
    lost: list[str] = field(default_factory=list)


def rescue(layout: Layout) -> Rescued:
    """Put a new database in place of a damaged one, which is kept as `depthscope.damaged-<when>.duckdb`."""
    deadline = Deadline(_PATIENCE)
    with only_one(layout, deadline):
        draft = layout.database.with_suffix(".new")
        new_database(draft)
        rows, lost = _take_out(layout.database, draft)
        if "high_water" in lost:  # what the segments hold may be among the rows: without marks it would come twice
            new_database(draft)
            rows, lost = 0, ["all rows: the marks cannot be read"]
        kept = _keep(layout)
        draft.rename(layout.database)
        fsync_folder(layout.root)
        folded = fold_all(layout, deadline).folded
    return Rescued(rows, folded, kept, lost)


def _keep(layout: Layout) -> Path:
    kept = layout.root / f"depthscope.damaged-{claims.new_ulid()}.duckdb"
    layout.database.rename(kept)
    with suppress(FileNotFoundError):  # a log must not be replayed on the new file
        layout.database.with_name(f"{layout.database.name}.wal").rename(kept.with_name(f"{kept.name}.wal"))
    return kept


def _take_out(damaged: Path, draft: Path) -> tuple[int, list[str]]:
    """Copy table by table into `draft`; what cannot be read is named."""
    rows, lost = 0, list[str]()
    with quiet(duckdb.connect(str(draft))) as connection:
        try:
            connection.execute(f"ATTACH {literal(str(damaged))} AS old (READ_ONLY)")
        except duckdb.Error:
            return 0, ["all rows: the file cannot be opened"]
        for table in ["high_water", "attempts", *(name for name in base_columns() if name != "attempts")]:
            try:
                rows += _copy(connection, table)
            except duckdb.Error:
                connection.execute(f"DELETE FROM {table}")
                taken, failed = _by_run(connection, table)
                rows, lost = rows + taken, lost + failed
    return rows, lost


def _by_run(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, list[str]]:
    """Damage lies in blocks, and a block mostly holds rows of few runs."""
    if "run" not in base_columns().get(table, {}):
        return 0, [table]
    try:
        runs = [row[0] for row in connection.execute("SELECT DISTINCT run FROM attempts ORDER BY run").fetchall()]
    except duckdb.Error:
        return 0, [table]
    rows, lost = 0, list[str]()
    for run in runs:
        try:
            rows += _copy(connection, table, run)
        except duckdb.Error:
            lost.append(f"{table} of {run[:80]!r}")
    return rows, lost


def _copy(connection: duckdb.DuckDBPyConnection, table: str, run: str | None = None) -> int:
    described = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE old.{table})").fetchall()
    known = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()]
    for name, kind in described:
        if name not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quote(name)} {kind}")
    names = ", ".join(quote(name) for name, _ in described)
    where, params = ("", []) if run is None else ("WHERE run = ?", [run])
    done = connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM old.{table} {where}", params)
    return int(done.fetchall()[0][0])
