"""The views `all_<table>` in the database: the union of stored and spooled rows for any DuckDB client.

They lead through two more, `spool_rows` and `attempt_cutoffs`, and only the first knows where the spool lies.
"""

import glob

import duckdb

from .layout import Layout
from .merge import Source, cutoffs_sql, merged_sql
from .schema import base_columns, literal, quote
from .tail import ensure_sentinel, segment_columns

__all__ = ["make_views", "views_outdated"]


def views_outdated(connection: duckdb.DuckDBPyConnection, layout: Layout) -> bool:
    """Whether the views are missing, look for the spool elsewhere, or lack a metric."""
    found = connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'spool_rows'").fetchall()
    if not found or _pattern(layout) not in found[0][0]:
        return True
    seen = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info('all_layer_stats')").fetchall()]
    return seen != list(_layer_stats(connection))


def make_views(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Make all of them, in one transaction."""
    layer_stats = _layer_stats(connection)
    ensure_sentinel(layout, layer_stats)
    columns = segment_columns(layer_stats)
    source = Source("", {name.lower() for name in layer_stats}, {name.lower() for name in columns}, base_columns())
    tables = {table: layer_stats if table == "layer_stats" else own for table, own in base_columns().items()}
    connection.execute("BEGIN")
    connection.execute(f"CREATE OR REPLACE VIEW spool_rows AS {_spool_sql(columns, layout)}")
    connection.execute(f"CREATE OR REPLACE VIEW attempt_cutoffs AS {cutoffs_sql(source)}")
    for table, own in tables.items():
        connection.execute(f"CREATE OR REPLACE VIEW all_{table} AS {merged_sql(table, own, source)}")
        connection.execute(f"COMMENT ON VIEW all_{table} IS 'Table {table} with the rows that still lie in the spool'")
    connection.execute("COMMIT")


def _spool_sql(columns: dict[str, str], layout: Layout) -> str:
    chosen = ", ".join(f"CAST(r.{quote(name)} AS {kind}) AS {quote(name)}" for name, kind in columns.items())
    return f"""
        SELECT {chosen} FROM read_parquet({_pattern(layout)}, union_by_name = true, hive_partitioning = false) AS r
        WHERE NOT EXISTS (
            SELECT 1 FROM high_water AS h WHERE h.attempt = r._attempt AND h.rank = r._rank AND r._seq <= h.seq
        )"""


def _pattern(layout: Layout) -> str:
    return literal(f"{glob.escape(str(layout.spool))}/*.parquet")


def _layer_stats(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute("SELECT name, type FROM pragma_table_info('layer_stats')").fetchall()
    return {str(name): str(kind) for name, kind in rows}
