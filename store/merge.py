"""The SQL that makes one table of what is stored and what still lies in the spool.

It reads two relations besides the stored tables: `spool_rows` (the segments above the high-water marks, see
segments.py) and `attempt_cutoffs` (below). Readers keep both as temporary tables, the database has both as views,
ingest folds with the same statements: so all three agree on what a row of the store is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .claims import APPENDS
from .schema import KEYS, base_columns, quote

__all__ = ["Source", "cutoffs_sql", "merged_sql", "replaced_sql", "spooled_sql"]


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    `prefix` leads to the stored tables; `stored` and `spooled` are the columns, in lower case, that layer_stats and
    `spool_rows` have. What is known not to matter makes a query several times cheaper: `tables` are those that may have
    rows in the spool, `resumed` says whether stored rows may be replaced by spooled ones.
    """

    prefix: str
    stored: Collection[str]
    spooled: Collection[str]
    tables: Collection[str]
    resumed: bool = True


def cutoffs_sql(source: Source) -> str:
    """One row an attempt. Its rows count below `cutoff`: the smallest `from_step` of the later attempts of its run.

    `stored` says whether the attempt's row is in the database, `late` whether the database has a later one that went on
    with the run; one that only appends has no say in what the run is.
    """
    columns = _spooled_list(base_columns()["attempts"], source)
    return f"""
        SELECT attempt, run, from_step, started_at, stored,
            min(from_step) OVER (
                PARTITION BY run ORDER BY attempt ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            ) AS cutoff,
            coalesce(
                max(attempt) FILTER (stored AND from_step < {APPENDS}) OVER (PARTITION BY run) > attempt, false
            ) AS late
        FROM (
            SELECT attempt, run, from_step, started_at, true AS stored FROM {source.prefix}attempts
            UNION ALL
            SELECT attempt, any_value(run), any_value(from_step), any_value(started_at), false
            FROM (SELECT {columns} FROM spool_rows AS t WHERE _table = 'attempts')
            WHERE attempt NOT IN (SELECT attempt FROM {source.prefix}attempts)
            GROUP BY attempt
        )"""


def merged_sql(table: str, columns: Mapping[str, str], source: Source) -> str:
    """The whole table, with `columns` (name -> type) in order."""
    kept = ", ".join(_stored(table, name, kind, source) for name, kind in columns.items())
    stored = f"SELECT {kept} FROM {source.prefix}{quote(table)} AS s"
    if table == "runs":
        return _runs_sql(columns, kept, source)
    if table in KEYS:
        return _keyed_sql(table, columns, kept, source) if table in source.tables else stored
    if source.resumed:
        stored += f" WHERE NOT {replaced_sql('s')}"
    return f"{stored} UNION ALL {spooled_sql(table, columns, source)}" if table in source.tables else stored


def spooled_sql(table: str, columns: Mapping[str, str], source: Source) -> str:
    """The rows of a stepped table that lie in the spool and are not replaced by a later attempt."""
    chosen = _spooled_list(columns, source)
    step = _spooled("step", "BIGINT", source)
    return f"""
        SELECT {chosen} FROM spool_rows AS t JOIN attempt_cutoffs AS c ON t._attempt = c.attempt
        WHERE t._table = '{table}' AND (c.cutoff IS NULL OR {step} IS NULL OR {step} < c.cutoff)"""


def replaced_sql(alias: str) -> str:
    """Whether a stored row is replaced by an attempt that the database does not know yet."""
    return f"""EXISTS (
            SELECT 1 FROM attempt_cutoffs AS n WHERE NOT n.stored AND n.run = {alias}.run
            AND {alias}.step >= n.from_step AND (n.cutoff IS NULL OR {alias}.step < n.cutoff))"""


def _runs_sql(columns: Mapping[str, str], kept: str, source: Source) -> str:
    """Runs are told piece by piece: of each column the newest value that is not NULL counts."""
    newest = {name: f"arg_max({quote(name)}, _order)" for name in columns}
    newest |= {"run": "run", "first_step": "min(first_step)", "started_at": "min(started_at)"}
    newest["ended_at"] = f"CASE WHEN {newest['status']} IS DISTINCT FROM 'running' THEN {newest['ended_at']} END"
    chosen = ", ".join(f"{sql} AS {quote(name)}" for name, sql in newest.items())
    return f"""
        SELECT {chosen} FROM (
            SELECT *, row_number() OVER (ORDER BY _age, _attempt, _rank DESC, _seq) AS _order
            FROM ({_aged_sql("runs", columns, kept, source)})
        ) GROUP BY run"""


def _keyed_sql(table: str, columns: Mapping[str, str], kept: str, source: Source) -> str:
    names = ", ".join(quote(name) for name in columns)
    return f"""
        SELECT {names} FROM ({_aged_sql(table, columns, kept, source)})
        QUALIFY row_number() OVER (
            PARTITION BY {", ".join(KEYS[table])} ORDER BY _age DESC, _attempt DESC, _rank, _seq DESC
        ) = 1"""


def _aged_sql(table: str, columns: Mapping[str, str], kept: str, source: Source) -> str:
    """Stored and spooled rows with their age: a late segment of an attempt that was replaced since is the oldest."""
    chosen = _spooled_list(columns, source)
    return f"""
        SELECT {kept}, 1 AS _age, '' AS _attempt, 0 AS _rank, 0 AS _seq FROM {source.prefix}{quote(table)} AS s
        UNION ALL
        SELECT {chosen}, CASE WHEN c.late THEN 0 ELSE 2 END, t._attempt, t._rank, t._seq
        FROM spool_rows AS t JOIN attempt_cutoffs AS c ON t._attempt = c.attempt WHERE t._table = '{table}'"""


def _stored(table: str, name: str, kind: str, source: Source) -> str:
    missing = table == "layer_stats" and name.lower() not in source.stored
    return f"NULL::{kind} AS {quote(name)}" if missing else f"s.{quote(name)}"


def _spooled_list(columns: Mapping[str, str], source: Source) -> str:
    return ", ".join(f"{_spooled(name, kind, source)} AS {quote(name)}" for name, kind in columns.items())


def _spooled(name: str, kind: str, source: Source) -> str:
    return f"CAST(t.{quote(name)} AS {kind})" if name.lower() in source.spooled else f"NULL::{kind}"
