"""One look at a store: a connection in which the database and the segments not yet folded into it are one.

The order matters: first the database is opened, which keeps any ingest from committing, then the spool is listed. So
each row is seen exactly once, in the one place or in the other.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, MutableSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from .connect import Deadline, before_opening, opened
from .errors import NotAStore, SchemaTooOld, StoreBusy, StoreTooNew
from .layout import Layout, list_segments
from .merge import merged_sql
from .migrate import stored_version
from .schema import SCHEMA_VERSION, base_columns, quote, schema_sql
from .tail import Tail, above_marks, load_tail

__all__ = ["check_version", "file_mark", "looked", "make_views", "mark", "one_look", "union"]

LONGEST = 2.0
"""Seconds after which a shared look is closed at its next query and opened anew, after a pause of `TURN`."""
TURN = 0.05
"""Seconds in which an ingest that waits takes its turn: the longest that it sleeps between two tries."""


@dataclass
class _Look:
    """What the queries of one thread share while `one_look` lasts."""

    layout: Layout
    open: ExitStack = field(default_factory=ExitStack)
    found: tuple[duckdb.DuckDBPyConnection, Tail] | None = None
    views: set[str] = field(default_factory=set)
    since: float = 0.0

    def close(self) -> None:
        """Close what is open; the next query opens it anew."""
        self.found = None
        self.views.clear()
        self.open.close()


_thread = threading.local()


@contextmanager
def one_look(layout: Layout) -> Iterator[None]:
    """Let the queries of this thread to the store share a connection, which is opened by the first of them.

    What costs most of a small query is paid once: to open the database and to load the spool. Anything else that this
    thread opens ends the look first. Within another look this does nothing.
    """
    if getattr(_thread, "look", None) is not None:
        yield
        return
    _thread.look = look = _Look(layout)
    before_opening(look.close)
    try:
        yield
    finally:
        before_opening(None)
        _thread.look = None
        look.close()


@contextmanager
def looked(layout: Layout, patience: float, query: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Tail]]:
    """`union` for a query that reaches nothing outside, in the look of this thread where there is one."""
    look: _Look | None = getattr(_thread, "look", None)
    if look is None or look.layout != layout:
        with union(layout, patience, query) as (connection, tail):
            _shut(connection)
            yield connection, tail
        return
    if look.found is not None and time.monotonic() - look.since > LONGEST:
        look.close()
        time.sleep(TURN)
    if look.found is None:
        look.found = look.open.enter_context(union(layout, patience, ""))
        _shut(look.found[0])
        look.since = time.monotonic()
    try:
        make_views(*look.found, query, look.views)
        yield look.found
    except duckdb.Error:
        look.close()
        raise


@contextmanager
def union(layout: Layout, patience: float, query: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Tail]]:
    """A connection in which the tables that `query` names (`runs`, `all_runs`) are the union of database and spool."""
    layout.check()
    deadline = Deadline(patience)
    while True:
        there = layout.database.exists()
        with opened(layout.database if there else None, deadline, read_only=True) as connection:
            if (tail := _load(connection, layout, there)) is not None:
                make_views(connection, tail, query)
                yield connection, tail
                return
        if not deadline.pause():
            raise StoreBusy(f"expected a quiet moment of {layout.root} within {patience:g} s, its files keep changing")


def mark(layout: Layout) -> str:
    """A text that changes when anything is written to the store: the state of its database and the names of its
    segments."""
    try:
        names = sorted(path.name for path in layout.spool.iterdir())
    except OSError:
        names = []
    return hashlib.sha256(os.fsencode("/".join([file_mark(layout.database), *names]))).hexdigest()[:16]


def file_mark(path: Path) -> str:
    """A text that changes when the file does; '' where there is none."""
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_ino} {state.st_size} {state.st_mtime_ns}"


def _load(connection: duckdb.DuckDBPyConnection, layout: Layout, there: bool) -> Tail | None:
    """Load the spool; None when files went while they were read, so that the frame would not be whole."""
    if there:
        check_version(connection, layout)
    else:
        connection.execute(schema_sql())
    name = connection.execute("SELECT current_database()").fetchall()[0][0]
    prefix = f"{quote(name)}.main."
    segments = list_segments(layout.spool)
    if not there and layout.database.exists():
        return None  # the first ingest came in between: what it folded is no longer in the spool
    try:
        return load_tail(connection, prefix, above_marks(connection, prefix, segments))
    except OSError:
        return None


def make_views(
    connection: duckdb.DuckDBPyConnection, tail: Tail, query: str, made: MutableSet[str] | None = None
) -> None:
    """Let the tables that a query names, or may name, mean the union. A view costs a millisecond: only those are made,
    and not those that are `made` already."""
    made, text = set() if made is None else made, query.lower()
    for table in base_columns():
        if table in text and table not in made:
            connection.execute(f"CREATE TEMP VIEW {table} AS {merged_sql(table, tail.columns(table), tail.source)}")
            made.add(table)
        if f"all_{table}" in text and f"all_{table}" not in made:
            connection.execute(f"CREATE TEMP VIEW all_{table} AS FROM {table}")
            made.add(f"all_{table}")


def check_version(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Raise NotAStore for another database, StoreTooNew for a later schema, SchemaTooOld for an older one."""
    version = stored_version(connection)
    if version is None:
        raise NotAStore(f"expected a depthscope database at {layout.database}, found another one")
    if version < SCHEMA_VERSION:
        raise SchemaTooOld(
            f"expected schema {SCHEMA_VERSION} at {layout.root}, found {version}; `depthscope compact` migrates it"
        )
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"expected schema {SCHEMA_VERSION} or older at {layout.root}, found {version}; upgrade depthscope"
        )


def _shut(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the query that follows reach nothing but what is loaded; the user's own instance stays as it is."""
    ours = not connection.execute("SELECT current_setting('python_enable_replacements')").fetchall()[0][0]
    if ours:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
