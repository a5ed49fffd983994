"""Records -> one immutable Parquet segment.

A segment holds the rows of several tables: the union of their columns, what a table does not have is NULL. `_table`
says which table a row belongs to, `_attempt`, `_rank` and `_seq` which writer wrote it and when, `_schema` by which
rules. Each segment carries its attempt's row, so it can be read without the ones before it.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from .coerce import COERCE, text
from .layout import fsync_folder
from .records import LayerStats, RunInfo
from .schema import KEYS, SCHEMA_VERSION, base_columns, literal, quote

__all__ = ["MARKS", "Rows", "facts_of", "metric_allowed", "rows_of", "segment_name", "write_segment"]

MARKS = {"_table": "VARCHAR", "_attempt": "VARCHAR", "_rank": "INTEGER", "_seq": "BIGINT", "_schema": "INTEGER"}


class Rows(NamedTuple):
    """Rows ready to be written, by table; `lost` says in words what could not be stored."""

    tables: dict[str, list[dict[str, Any]]]
    lost: list[str]


def segment_name(attempt: str, rank: int, seq: int) -> str:
    return f"{attempt}-{rank}-{seq}.parquet"


def rows_of(records: Iterable[Any], run: str) -> Rows:
    """Turn records (all but RunInfo) into rows of plain values; what no column can hold is named in `lost`."""
    rows = Rows({}, [])
    spelling: dict[str, str] = {}
    for record in records:
        if isinstance(record, RunInfo):
            continue
        try:
            table = record.table
            row = _row(table, record, run)
            if isinstance(record, LayerStats):
                _add_metrics(row, record.values, spelling, rows.lost)
        except Exception as error:  # whatever a user's number does when it is read: the other rows go on
            rows.lost.append(f"{type(record).__name__} ({text(error)[:200]})")
        else:
            rows.tables.setdefault(table, []).append(row)
    for table in KEYS.keys() & rows.tables.keys():
        rows.tables[table] = _newest(table, rows.tables[table])
    return rows


def facts_of(records: Iterable[Any], lost: list[str]) -> dict[str, Any]:
    """What the RunInfo records say of the run: the newest value of each field that is not None."""
    facts: dict[str, Any] = {}
    columns = base_columns()["runs"]
    for info in (record for record in records if isinstance(record, RunInfo)):
        for name in _names(RunInfo):
            value = getattr(info, name)
            if value is None or name == "run":
                continue
            try:
                facts[name] = COERCE[columns[name]](value)
            except Exception as error:  # a configuration is whatever the user has
                lost.append(f"RunInfo.{name} ({text(error)[:200]})")
    return facts


def _row(table: str, record: Any, run: str) -> dict[str, Any]:
    columns = base_columns()[table]
    values = {name: getattr(record, name) for name in _names(record.__class__) if name in columns}
    row = {name: None if value is None else COERCE[columns[name]](value) for name, value in values.items()}
    if "run" in columns:
        row["run"] = run
    return row


def _add_metrics(row: dict[str, Any], values: Mapping[str, float], spelling: dict[str, str], lost: list[str]) -> None:
    """DuckDB does not tell `Variance` from `variance`: the first spelling stands for both."""
    to_float = COERCE["FLOAT"]
    for name, value in values.items():
        if not metric_allowed(name):
            lost.append(f"metric {text(name)[:80]!r} (the name is a column of the store)")
        elif value is not None:
            row[spelling.setdefault(name.lower(), name)] = to_float(value)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


@cache
def metric_allowed(name: str) -> bool:
    """Whether a metric may have this name: another table's column of decimals may be shared, anything else not."""
    if (
        not name
        or text(name) != name
        or "\0" in name
        or name.lower() in MARKS
        or name.lower() in base_columns()["layer_stats"]
    ):
        return False
    shared = {columns[name.lower()] for columns in base_columns().values() if name.lower() in columns}
    return shared <= {"FLOAT", "DOUBLE"}


def _newest(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({tuple(row[key] for key in KEYS[table]): row for row in rows}.values())


def write_segment(connection: duckdb.DuckDBPyConnection, path: Path, rows: Rows, marks: tuple[str, int, int]) -> None:
    """Write a segment that is either there and whole, or not there. Raises duckdb.Error or OSError when it fails."""
    parameters: dict[str, Any] = {}
    parts = [_select(table, rows.tables[table], marks, parameters) for table in sorted(rows.tables)]
    draft = path.with_suffix(".tmp")
    target = f"TO {literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)"
    try:
        connection.execute(f"COPY ({' UNION ALL BY NAME '.join(parts)}) {target}", parameters)
        handle = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    # The segment can be read now, so it must not be written again; some file systems do not know how to sync a folder.
    with suppress(OSError):
        fsync_folder(path.parent)


def _unnest(values: list[Any], kind: str, parameters: dict[str, Any]) -> str:
    """SQL for a column of `values`, which go into `parameters`."""
    key = f"c{len(parameters)}"
    parameters[key] = values
    column = f"unnest(${key}::{kind}[])"
    if kind not in ("FLOAT", "DOUBLE") or all(value == value for value in values):
        return column
    # DuckDB 1.5 takes a NaN in a list for NULL, so where the NaN are goes in beside the values.
    parameters[f"{key}n"] = [value != value for value in values]
    return f"CASE WHEN unnest(${key}n::BOOLEAN[]) THEN 'nan'::{kind} ELSE {column} END"


def _select(table: str, rows: list[dict[str, Any]], marks: tuple[str, int, int], parameters: dict[str, Any]) -> str:
    kinds = base_columns()[table]
    chosen = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        chosen.append(f"{_unnest(values, kinds.get(name, 'FLOAT'), parameters)} AS {quote(name)}")
    attempt, rank, seq = marks
    chosen += [
        f"{literal(table)} AS _table",
        f"{literal(attempt)} AS _attempt",
        f"{rank}::INTEGER AS _rank",
        f"{seq}::BIGINT AS _seq",
        f"{SCHEMA_VERSION}::INTEGER AS _schema",
    ]
    return f"SELECT {', '.join(chosen)}"
