"""DuckDB's Quack server: one DuckDB process that others ask over HTTP.

https://duckdb.org/docs/current/core_extensions/quack
An attached server commits every statement by itself, but a text of several statements is taken as one, transaction and
all. So a delivery is folded here, beside an empty copy of the server's tables, and what came out goes there as one
text: rows, marks, and a look whether another delivery was quicker. The token comes from $QUACK_TOKEN.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import duckdb

from ..connect import quiet
from ..errors import DepthscopeError, StoreBusy, StoreMissing
from ..fold import Folded, fold
from ..layout import Segment
from ..reader import only_select
from ..schema import KEYS, SCHEMA_VERSION, base_columns, literal, quote, schema_sql, stepped_tables
from .extensions import load
from .turns import Overtaken

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Server"]

_MIRROR = "mirror"
_FACTS = [*KEYS, "high_water"]  # the tables that a fold looks at


class Server:
    """One server, asked by texts. Raises StoreBusy where it does not answer or does not take a text."""

    def __init__(self, url: str) -> None:
        """Raises ExtensionMissing. Nothing is asked yet."""
        self._url = url
        self._client = quiet(duckdb.connect(":memory:", config={"python_enable_replacements": False}))
        try:
            load(self._client, "httpfs", "quack")
            self._client.execute(f"CREATE SECRET (TYPE quack, TOKEN {literal(os.environ.get('QUACK_TOKEN', ''))})")
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """Forget it."""
        self._client.close()

    def ask(self, text: str) -> duckdb.DuckDBPyConnection:
        """The answer to the last statement of a text."""
        try:
            return self._client.execute(f"FROM quack_query({literal(self._url)}, ?)", [text])
        except duckdb.Error as error:
            said = str(error).partition("\n\nLINE ")[0].strip().splitlines()[0]
            raise StoreBusy(f"{self._url} did not take it: {said[:200]}") from error

    def check(self) -> None:
        """Raise StoreMissing where nothing was delivered yet, DepthscopeError where a newer depthscope did it."""
        if not self._value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'turns'"):
            raise StoreMissing(f"expected runs at {self._url}, found none; depthscope ingest --to brings them")
        if (version := self._value("SELECT max(version) FROM schema_version")) > SCHEMA_VERSION:
            raise DepthscopeError(f"expected schema {SCHEMA_VERSION} or older, found {version}; upgrade depthscope")

    def ensure_tables(self) -> None:
        """Make the tables of a new database, in one transaction; whoever comes second finds them there."""
        try:
            self.check()
        except StoreMissing:
            self.ask(
                f"BEGIN; {schema_sql()}; CREATE TABLE turns (n BIGINT); INSERT INTO turns VALUES (0); "
                f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION}); COMMIT"
            )

    def columns(self) -> dict[str, str]:
        """Name and type of the columns of layer_stats."""
        return dict(self.ask("SELECT column_name, column_type FROM (DESCRIBE layer_stats)").fetchall())

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any], own: bool) -> "pd.DataFrame":
        """The answer to a question; `own` ones are ours, others must be one SELECT."""
        if not own:
            only_select(self._client, sql)
        views = [f"CREATE OR REPLACE TEMP VIEW all_{name} AS FROM {name}; " for name in base_columns() if name in sql]
        named = params.items() if isinstance(params, Mapping) else [("", value) for value in params]
        given = ", ".join(f"{name} := {_literal(value)}" if name else _literal(value) for name, value in named)
        text = f"PREPARE asked AS {sql}; EXECUTE asked({given})" if given else sql
        frame: pd.DataFrame = self.ask("".join(views) + text).df()
        return frame

    def attempts(self, run: str) -> set[str]:
        """The attempts at a run that are there."""
        return {row[0] for row in self.ask(f"SELECT attempt FROM attempts WHERE run = {literal(run)}").fetchall()}

    def take(self, segments: Sequence[Segment]) -> Folded:
        """Fold segments in, in one transaction. Raises Overtaken where another delivery committed in between."""
        turn = self._value("SELECT max(n) FROM turns")
        with self._mirror() as mirror:
            done = fold(mirror, segments)
            if done.folded or done.torn:
                self._commit(f"BEGIN; {_guard(turn)} {_changes(mirror)} COMMIT", turn)
        return done

    def _commit(self, text: str, turn: int) -> None:
        try:
            self.ask(text)
        except StoreBusy as refused:
            if "conflict" in str(refused).lower() or self._value("SELECT max(n) FROM turns") != turn:
                raise Overtaken from refused
            raise

    def _value(self, sql: str) -> Any:
        return self.ask(sql).fetchall()[0][0]

    @contextmanager
    def _mirror(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database in memory with the server's facts and marks, and none of its measurements."""
        self._client.execute(f"ATTACH ':memory:' AS {_MIRROR}; USE {_MIRROR}")
        try:
            self._client.execute(schema_sql())
            for name, kind in self.columns().items():
                if name not in base_columns()["layer_stats"]:
                    self._client.execute(f"ALTER TABLE layer_stats ADD COLUMN {quote(name)} {kind}")
            for table in _FACTS:
                there = f"FROM quack_query({literal(self._url)}, 'FROM {table}')"
                self._client.execute(f"INSERT INTO {table} BY NAME {there}")
            yield self._client
        finally:
            with suppress(duckdb.Error):
                self._client.execute(f"USE memory; DETACH {_MIRROR}")


def _guard(turn: int) -> str:
    """Statements that fail where it is another delivery's turn by now, and end this one's."""
    return f"SELECT CASE WHEN max(n) <> {turn} THEN error('overtaken') END FROM turns; UPDATE turns SET n = n + 1;"


def _changes(mirror: duckdb.DuckDBPyConnection) -> str:
    """Statements that do to the server's tables what the fold did to the mirror's."""
    columns = mirror.execute("SELECT column_name, column_type FROM (DESCRIBE layer_stats)").fetchall()
    changes = [
        f"ALTER TABLE layer_stats ADD COLUMN IF NOT EXISTS {quote(name)} {kind};"
        for name, kind in columns
        if name not in base_columns()["layer_stats"]
    ]
    replaced = mirror.execute("SELECT run, from_step, cutoff FROM attempt_cutoffs WHERE NOT stored").fetchall()
    for table in stepped_tables():
        for run, first, cutoff in replaced:
            until = "" if cutoff is None else f" AND step < {cutoff}"
            changes.append(f"DELETE FROM {table} WHERE run = {literal(run)} AND step >= {first}{until};")
        changes.append(_insert(mirror, table, f"FROM {table}"))
    return " ".join([*changes, *_facts(mirror)])


def _facts(mirror: duckdb.DuckDBPyConnection) -> list[str]:
    """Statements that bring what is known of the runs that the segments are of; the newest of it is in the mirror."""
    runs = mirror.execute("SELECT DISTINCT run FROM spool_rows WHERE run IS NOT NULL").fetchall()
    ours = f"run IN ({', '.join(literal(run) for (run,) in runs)})"
    replaced = {
        "runs": ours,
        "high_water": f"attempt IN (SELECT attempt FROM attempts WHERE {ours})",
    }
    changes = [_insert(mirror, table, f"FROM {table} WHERE {of}", "OR REPLACE") for table, of in replaced.items()]
    for table, of in {"attempts": ours, "layers": ours, "metrics": "true"}.items():
        changes += [f"DELETE FROM {table} WHERE {of};", _insert(mirror, table, f"FROM {table} WHERE {of}")]
    return changes


def _insert(mirror: duckdb.DuckDBPyConnection, table: str, rows: str, how: str = "") -> str:
    """A statement with rows in it: a list of texts a column, which are cast there, so that NaN and Inf come through."""
    columns = mirror.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()
    lists = ", ".join(f"to_json(list(CAST({quote(name)} AS VARCHAR)))" for name, _ in columns)
    found = mirror.execute(f"SELECT {lists} FROM ({rows})").fetchall()[0]
    if found[0] is None:
        return ""
    chosen = ", ".join(
        f"CAST(unnest(from_json({literal(values)}, '[\"VARCHAR\"]')) AS {kind}) AS {quote(name)}"
        for (name, kind), values in zip(columns, found, strict=True)
    )
    return f"INSERT {how} INTO {table} BY NAME SELECT {chosen};"


def _literal(value: Any) -> str:
    """A parameter of a query as text."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"CAST({literal(repr(value))} AS DOUBLE)"  # NaN and Inf are no words of SQL
    if isinstance(value, int):
        return repr(value)
    return literal(str(value))
