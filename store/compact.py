"""Rewriting the database in order, which gives space back.

Ingest appends rows as they arrive, so one stretch of a column holds values of one site and NULLs of the others, which
DuckDB compresses badly; and deleted rows keep their space. The rewrite goes site by site and begins a stretch with
each, so that a stretch of a column is either all values or all NULL (measured in docs/store.md).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from .connect import Deadline, opened, quiet
from .errors import DepthscopeError, StoreBusy
from .ingest import IngestResult, fold_all, new_database
from .layout import Layout, default_store, fsync_folder
from .lock import only_one
from .look import check_version
from .schema import base_columns, literal, quote
from .views import make_views

__all__ = ["Compacted", "compact"]

_PATIENCE = 30.0  # seconds
_ORDER = ("stack", "site", "phase", "run", "layer", "name", "step")
_MOST_GROUPS = 200  # a model with very many stacks is copied at once


@dataclass(frozen=True)
class Compacted:
    """Size of the database file in bytes before and after, and what was folded into it first."""

    before: int
    after: int
    ingested: IngestResult


def compact(path: Path | str | None = None, patience: float = _PATIENCE) -> Compacted:
    """Fold what is in the spool, then rewrite the database sorted. It needs as much free space as the database has.

    Readers go on meanwhile; a kill at any moment leaves the old database or the new one. `patience`: seconds to wait
    for an ingest that runs, or for whoever holds the database. Raises StoreMissing, NotAStore, StoreTooNew, StoreBusy,
    and DepthscopeError when the disk is full.
    """
    layout = Layout(Path(path if path is not None else default_store()).absolute())
    layout.check_own()
    deadline = Deadline(patience)
    draft = layout.database.with_suffix(".new")
    try:
        with only_one(layout, deadline):
            ingested = fold_all(layout, deadline)
            before = layout.database.stat().st_size
            _rewrite(layout, draft, deadline)
            after = layout.database.stat().st_size
            layout.compacted.write_text(f"{after}\n", encoding="utf-8")
            return Compacted(before, after, ingested)
    except (OSError, duckdb.Error) as error:
        draft.unlink(missing_ok=True)
        raise DepthscopeError(f"cannot rewrite {layout.database} now: {str(error).splitlines()[0]}") from error


def _rewrite(layout: Layout, draft: Path, deadline: Deadline) -> None:
    with opened(layout.database, deadline, read_only=False) as connection:
        check_version(connection, layout)
        connection.execute("CHECKPOINT")  # what a killed ingest left in the log goes into the file
    new_database(draft)
    # Open for reading keeps everybody from writing, and readers may go on.
    with opened(layout.database, deadline, read_only=True) as connection:
        if layout.database.with_name(f"{layout.database.name}.wal").exists():
            raise StoreBusy(f"expected {layout.database} at rest, another process has just written to it; try again")
        connection.execute(f"ATTACH {literal(str(draft))} AS fresh (READ_WRITE)")
        _copy_tables(connection)
        connection.execute("DETACH fresh")
        with quiet(duckdb.connect(str(draft))) as fresh:
            make_views(fresh, layout)
        _fsync(draft)
        draft.rename(layout.database)
    fsync_folder(layout.root)


def _copy_tables(connection: duckdb.DuckDBPyConnection) -> None:
    described = connection.execute("SELECT name, type FROM pragma_table_info('layer_stats')").fetchall()
    metrics = {name: kind for name, kind in described if name not in base_columns()["layer_stats"]}
    for name, kind in metrics.items():
        connection.execute(f"ALTER TABLE fresh.layer_stats ADD COLUMN {quote(name)} {kind}")
    for table in [*base_columns(), "high_water"]:
        columns = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()]
        order = ", ".join(name for name in _ORDER if name in columns) or "ALL"
        names = ", ".join(quote(name) for name in columns)
        for where, params in _groups(connection, list(metrics)) if table == "layer_stats" else [("true", [])]:
            rows = f"SELECT {names} FROM {table} WHERE {where} ORDER BY {order}"
            connection.execute(f"INSERT INTO fresh.{table} ({names}) {rows}", params)
        counts = f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM fresh.{table})"
        old, new = connection.execute(counts).fetchall()[0]
        if old != new:
            raise DepthscopeError(
                f"expected {old} rows of {table} in the rewritten database, got {new}; nothing changed"
            )


def _groups(connection: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Conditions that part layer_stats by what is measured, those with the same metrics one after the other. DuckDB
    begins a new stretch for an INSERT of more than 122,880 rows, its largest one; smaller groups share stretches."""
    keys = ("stack", "site", "phase")
    measured = ", ".join(f"count({quote(name)}) > 0" for name in metrics) or "true"
    groups = connection.execute(
        f"SELECT stack, site, phase FROM layer_stats GROUP BY ALL ORDER BY [{measured}] DESC, stack, site, phase"
    ).fetchall()
    if len(groups) > _MOST_GROUPS:
        return [("true", [])]
    where = " AND ".join(f"{key} IS NOT DISTINCT FROM ?" for key in keys)
    return [(where, list(group)) for group in groups]


def _fsync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
