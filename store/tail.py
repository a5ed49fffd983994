"""The tail of a store: the segments that are not folded into the database yet, loaded into a connection.

`load_tail` makes the temporary tables `spool_rows` and `attempt_cutoffs` that the statements of merge.py read.
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

import duckdb

from .connect import quiet
from .errors import StoreTooNew
from .layout import SENTINEL, Layout, Segment, fsync_folder
from .merge import Source, cutoffs_sql
from .schema import SCHEMA_VERSION, base_columns, literal, quote
from .segments import MARKS

__all__ = ["Tail", "above_marks", "ensure_sentinel", "load_tail", "segment_columns"]


@dataclass(frozen=True)
class Tail:
    """What was loaded: where merge.py finds its rows, the columns of layer_stats, and segments that no one can read."""

    source: Source
    layer_stats: dict[str, str]
    torn: tuple[Segment, ...]

    def columns(self, table: str) -> dict[str, str]:
        """Column -> type of a table, with the metrics that only the tail has."""
        return self.layer_stats if table == "layer_stats" else base_columns()[table]


def above_marks(connection: duckdb.DuckDBPyConnection, prefix: str, segments: Sequence[Segment]) -> list[Segment]:
    """The segments that the database does not hold yet."""
    marks = connection.execute(f"SELECT attempt, rank, seq FROM {prefix}high_water").fetchall()
    folded = {(attempt, rank): seq for attempt, rank, seq in marks}
    return [s for s in segments if s.seq > folded.get((s.attempt, s.rank), -1)]


def load_tail(connection: duckdb.DuckDBPyConnection, prefix: str, segments: Sequence[Segment]) -> Tail:
    """Load segments. One that is torn is left out and named; one that is gone or not ours to read raises OSError."""
    torn: tuple[Segment, ...] = ()
    try:
        _load(connection, segments)
    except duckdb.Error:
        torn = tuple(s for s in segments if not _readable(connection, s))
        _load(connection, [s for s in segments if s not in torn])
    spooled = _columns(connection, "spool_rows")
    if "_schema" in spooled:
        _check_schema(connection)
    known = _columns(connection, f"{prefix}layer_stats")
    tables = {row[0] for row in connection.execute("SELECT DISTINCT _table FROM spool_rows").fetchall()}
    source = Source(prefix, {name.lower() for name in known}, {name.lower() for name in spooled}, tables)
    layer_stats = known | _new_metrics(connection, spooled, source)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE attempt_cutoffs AS {cutoffs_sql(source)}")
    return Tail(replace(source, resumed=_resumed(connection)), layer_stats, torn)


def _resumed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the tail has a new attempt of a run that is stored."""
    found = connection.execute(
        "SELECT count(*) FROM attempt_cutoffs AS n JOIN attempt_cutoffs AS s USING (run) "
        "WHERE s.stored AND NOT n.stored"
    ).fetchall()
    return bool(found[0][0])


def _load(connection: duckdb.DuckDBPyConnection, segments: Sequence[Segment]) -> None:
    if segments:
        files = [glob.escape(str(segment.path)) for segment in segments]
        rows = "SELECT * FROM read_parquet($files, union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE spool_rows AS {rows}", {"files": files})
        return
    empty = ", ".join(f"{name} {kind}" for name, kind in MARKS.items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE spool_rows ({empty})")


def _readable(connection: duckdb.DuckDBPyConnection, segment: Segment) -> bool:
    """False when the file is there and is not a segment. OSError when the file itself cannot be read."""
    segment.path.read_bytes()
    try:
        _load(connection, [segment])
    except duckdb.Error:
        return False
    return True


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    described = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()
    return {str(name): str(kind) for name, kind in described}


def _check_schema(connection: duckdb.DuckDBPyConnection) -> None:
    row = connection.execute("SELECT max(_schema) FROM spool_rows").fetchone()
    if row is not None and row[0] is not None and row[0] > SCHEMA_VERSION:
        raise StoreTooNew(
            f"expected a store of schema {SCHEMA_VERSION} or older, found rows of {row[0]}; upgrade depthscope"
        )


def _new_metrics(connection: duckdb.DuckDBPyConnection, spooled: dict[str, str], source: Source) -> dict[str, str]:
    """Metrics that layer_stats has no column for yet: a metric may share its name with a column of another table, so
    what counts is whether a row of layer_stats has a value there."""
    candidates = [name for name in spooled if name.lower() not in source.stored and name.lower() not in MARKS]
    if not candidates:
        return {}
    counts = ", ".join(f"count({quote(name)})" for name in candidates)
    found = connection.execute(f"SELECT {counts} FROM spool_rows WHERE _table = 'layer_stats'").fetchone() or ()
    return {name: "FLOAT" for name, count in zip(candidates, found, strict=True) if count}


def segment_columns(layer_stats: dict[str, str]) -> dict[str, str]:
    """Every column a segment can have, with a type that holds the values of all tables."""
    columns = dict(MARKS)
    for own in (*base_columns().values(), layer_stats):
        for name, kind in own.items():
            present = next((known for known in columns if known.lower() == name.lower()), name)
            wider = columns.get(present) in ("DOUBLE", "BIGINT")
            columns[present] = columns[present] if wider else "VARCHAR" if kind == "JSON" else kind
    return columns


def ensure_sentinel(layout: Layout, layer_stats: dict[str, str] | None = None) -> None:
    """Keep one empty segment with every column in the spool: plain DuckDB clients read `spool/*.parquet` through the
    views, which fails where no file matches or no file has a column."""
    target = layout.spool / SENTINEL
    if layer_stats is None and target.exists():
        return
    columns = segment_columns(layer_stats or base_columns()["layer_stats"])
    chosen = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
    draft = target.with_suffix(f".{token_hex(4)}.tmp")  # its own: several runs may begin at once
    with quiet(duckdb.connect(":memory:")) as connection:
        connection.execute(f"COPY (SELECT {chosen} LIMIT 0) TO {literal(str(draft))} (FORMAT parquet)")
    draft.replace(target)
    fsync_folder(layout.spool)
