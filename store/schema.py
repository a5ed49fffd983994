"""What the tables of a store look like to the code: columns and types, read from schema.sql, where they stand once.

Two kinds of tables. *Keyed* ones hold facts, of which the newest wins; *stepped* ones hold measurements of a run at a
step, of which a later attempt replaces the earlier attempts' rows from its `from_step` on.
"""

from functools import cache
from importlib.resources import files

import duckdb

__all__ = ["KEYS", "SCHEMA_VERSION", "base_columns", "literal", "quote", "schema_sql", "stepped_tables"]

SCHEMA_VERSION = 1

KEYS: dict[str, tuple[str, ...]] = {
    "runs": ("run",),
    "attempts": ("attempt",),
    "layers": ("run", "stack", "layer"),
    "metrics": ("name",),
}

# Kept for the store itself: never shown as a table of rows.
_HOUSEKEEPING = {"high_water", "schema_version"}


def quote(name: str) -> str:
    """An SQL identifier; names of metrics come from users."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string; only where a parameter is not possible (views, COPY targets)."""
    return "'" + text.replace("'", "''") + "'"


def schema_sql() -> str:
    """The statements that create an empty store."""
    return files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


@cache
def base_columns() -> dict[str, dict[str, str]]:
    """Table -> column -> DuckDB type, without the metric columns that ingest adds to layer_stats."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(schema_sql())
        found = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal AND schema_name = 'main' ORDER BY table_oid, column_index"
        ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        if table not in _HOUSEKEEPING:
            tables.setdefault(table, {})[column] = kind
    return tables


def stepped_tables() -> list[str]:
    """The tables whose rows belong to a run and a step."""
    return [table for table in base_columns() if table not in KEYS]
