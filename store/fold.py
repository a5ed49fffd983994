"""One transaction that takes segments into the database: rows, new metric columns, the writers' high-water marks."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import duckdb

from .layout import Segment
from .merge import merged_sql, replaced_sql, spooled_sql
from .schema import KEYS, quote, stepped_tables
from .tail import Tail, above_marks, load_tail

__all__ = ["IN_PLACE", "Dialect", "Folded", "fold"]

_ORDER = ("stack", "site", "phase", "run", "layer", "name", "step")


class Folded(NamedTuple):
    """How many segments went in, which files may be removed, and the names of those that were torn."""

    folded: int
    finished: tuple[Segment, ...]
    torn: tuple[str, ...]


@dataclass(frozen=True)
class Dialect:
    """What databases differ in.

    `replace(connection, table, key, rows)` lets rows, a query, take the place of those with their key;
    `began(connection)` is called first in the transaction.
    """

    replace: Callable[[duckdb.DuckDBPyConnection, str, tuple[str, ...], str], None]
    began: Callable[[duckdb.DuckDBPyConnection], None]


def _insert_or_replace(connection: duckdb.DuckDBPyConnection, table: str, key: tuple[str, ...], rows: str) -> None:
    connection.execute(f"INSERT OR REPLACE INTO {quote(table)} BY NAME {rows}")


IN_PLACE = Dialect(_insert_or_replace, lambda connection: None)
"""A file of our own: primary keys, and nobody else writes while it is open."""


def fold(connection: duckdb.DuckDBPyConnection, segments: Sequence[Segment], dialect: Dialect = IN_PLACE) -> Folded:
    """Take segments in, in one transaction. Torn ones are kept as `*.torn` and leave an event behind."""
    fresh = above_marks(connection, "", segments)
    readable = _readable(fresh)
    if not readable:
        return Folded(0, tuple(s for s in segments if s not in fresh), ())
    # Before the transaction: a torn segment would end it. Nobody else writes while this connection is open.
    tail = load_tail(connection, "", readable)
    connection.execute("BEGIN")
    try:
        dialect.began(connection)
        _fold(connection, tail, dialect)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
            connection.execute("ROLLBACK")
        raise
    left = [s for s in fresh if s not in readable]
    finished = tuple(s for s in segments if s not in left and s not in tail.torn)
    return Folded(len(readable) - len(tail.torn), finished, tuple(s.path.name for s in tail.torn))


def _fold(connection: duckdb.DuckDBPyConnection, tail: Tail, dialect: Dialect) -> None:
    for name in tail.layer_stats:
        if name.lower() not in tail.source.stored:
            connection.execute(f"ALTER TABLE layer_stats ADD COLUMN {quote(name)} FLOAT")
    _fold_stepped(connection, tail)
    _fold_keyed(connection, tail, dialect)
    marks = "SELECT _attempt AS attempt, _rank AS rank, max(_seq) AS seq FROM spool_rows GROUP BY ALL"
    dialect.replace(connection, "high_water", ("attempt", "rank"), marks)
    for segment in tail.torn:
        _set_aside(connection, segment)


def _readable(segments: Sequence[Segment]) -> list[Segment]:
    """Without those that the system does not let us read now, and without what their writers wrote after them."""
    stuck: dict[tuple[str, int], int] = {}
    for segment in segments:
        try:
            segment.path.open("rb").close()
        except OSError:
            stuck.setdefault((segment.attempt, segment.rank), segment.seq)
    return [s for s in segments if s.seq < stuck.get((s.attempt, s.rank), s.seq + 1)]


def _fold_stepped(connection: duckdb.DuckDBPyConnection, tail: Tail) -> None:
    for table in stepped_tables():
        if tail.source.resumed:
            connection.execute(f"DELETE FROM {quote(table)} WHERE {replaced_sql(quote(table))}")
        if table in tail.source.tables:
            columns = tail.columns(table)
            names = ", ".join(quote(name) for name in columns)
            order = ", ".join(name for name in _ORDER if name in columns)  # like beside like compresses better
            rows = spooled_sql(table, columns, tail.source)
            connection.execute(f"INSERT INTO {quote(table)} ({names}) SELECT * FROM ({rows}) ORDER BY {order}")


def _fold_keyed(connection: duckdb.DuckDBPyConnection, tail: Tail, dialect: Dialect) -> None:
    for table, key in KEYS.items():
        if table not in tail.source.tables:
            continue
        columns = tail.columns(table)
        keys = f"({', '.join(key)})"
        touched = f"SELECT {keys} FROM spool_rows WHERE _table = '{table}'"
        merged = f"SELECT * FROM ({merged_sql(table, columns, tail.source)}) WHERE {keys} IN ({touched})"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE merged AS {merged}")
        if table == "runs":
            dialect.replace(connection, table, key, "FROM merged")
            continue
        names = ", ".join(quote(name) for name in columns)
        connection.execute(f"DELETE FROM {table} WHERE {keys} IN (SELECT {keys} FROM merged)")
        connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM merged")


def _set_aside(connection: duckdb.DuckDBPyConnection, segment: Segment) -> None:
    aside = segment.path.with_suffix(".torn")
    segment.path.rename(aside)
    connection.execute(
        "INSERT INTO events BY NAME SELECT a.run, r.last_step AS step, 'dropped' AS kind, ? AS text "
        "FROM attempts AS a LEFT JOIN runs AS r ON r.run = a.run WHERE a.attempt = ?",
        [f"segment {segment.path.name} is torn and was set aside as {aside.name}", segment.attempt],
    )
