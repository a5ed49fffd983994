"""The read side: the database and the segments not yet folded into it, as one.

Every query opens the database read-only and briefly; those within `Store.one_look` share what they open.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from .connect import Deadline, opened
from .errors import DepthscopeError, SchemaTooOld
from .layout import Layout, default_store
from .lock import only_one
from .look import check_version, file_mark, looked, mark, one_look
from .migrate import migrate
from .schema import base_columns, quote
from .targets.url import target_url

if TYPE_CHECKING:  # frames are made by DuckDB; a training process does not load pandas
    import pandas as pd

__all__ = [
    "Question",
    "Steps",
    "Store",
    "ask",
    "one_select",
    "only_select",
    "open_store",
    "where_sql",
]

Names = str | Iterable[str] | None
Steps = tuple[int | None, int | None]
Question = tuple[str, list[Any]]

_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def open_store(path: Path | str | None = None) -> "Store":
    """The store at `path` (default: `$DEPTHSCOPE_STORE`, else `./depthscope-runs`), or the one with database `path`.

    `path` may be the URL of a target, as `depthscope ingest --to` takes it: `ducklake:postgres:dbname=...`.

    A store of an older schema is migrated, after a copy of its database was put beside it. Raises StoreMissing,
    NotAStore, StoreTooNew, SchemaTooOld; StoreBusy when another process holds the database.
    """
    if (url := target_url(path if path is not None else default_store())) is not None:
        return _open_target(url)
    root = Path(path if path is not None else default_store()).absolute()
    layout = Layout(root.parent if root.name == Layout(root).database.name and root.is_file() else root)
    layout.check()
    store = Store(layout.root)
    if layout.database.exists():
        try:
            _check(layout, store.patience, file_mark(layout.database))
        except SchemaTooOld:
            deadline = Deadline(store.patience)
            with only_one(layout, deadline):
                migrate(layout, deadline)
            _check(layout, store.patience, file_mark(layout.database))
    return store


def _open_target(url: str) -> "Store":
    from .targets.read import RemoteStore  # it is a Store itself

    remote = RemoteStore(Path(url))
    remote.check()
    return remote


@lru_cache(maxsize=64)
def _check(layout: Layout, patience: float, _content: str) -> None:
    """Raise what `check_version` does. The dashboard asks at every drawing: the same content is not opened again."""
    with opened(layout.database, Deadline(patience), read_only=True) as connection:
        check_version(connection, layout)


@dataclass(frozen=True)
class Store:
    """A store to read. Frames hold NaN for NULL (not measured) and for NaN (measured); in SQL the two are apart.

    `patience`: seconds that a query tries to open the database before it raises StoreBusy.
    """

    path: Path
    patience: float = 5.0

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> "pd.DataFrame":
        """The answer to one SELECT over the tables of schema.sql. It can read the store and nothing else.

        Raises StoreBusy past the deadline, DepthscopeError for a statement that is wrong or not a SELECT.
        """
        with looked(Layout(self.path), self.patience, query) as (connection, _):
            return one_select(connection, query, params)

    def answer(self, make: Callable[[Mapping[str, str]], Question]) -> "pd.DataFrame":
        """The answer to a question of ours, which `make` puts when it is told the columns of layer_stats."""
        layout = Layout(self.path)
        with one_look(layout):
            with looked(layout, self.patience, "") as (_, tail):
                sql, params = make(tail.layer_stats)
            with looked(layout, self.patience, sql) as (connection, _):
                return connection.execute(sql, params).df()

    def one_look(self) -> AbstractContextManager[None]:
        """Within it, queries of this thread read the same moment of the store, of up to two seconds, and cost less."""
        return one_look(Layout(self.path))

    def mark(self) -> str:
        """A text that changes when anything is written to the store; to ask for it opens nothing."""
        return mark(Layout(self.path))

    def runs(self) -> "pd.DataFrame":
        """One row a run."""
        return self._rows("runs", order="started_at, run")

    def attempts(self) -> "pd.DataFrame":
        """One row a watch() of a run."""
        return self._rows("attempts", order="attempt")

    def metrics(self) -> "pd.DataFrame":
        """What each column of layer_stats means."""
        return self._rows("metrics", order="name")

    def layers(self, runs: Names = None) -> "pd.DataFrame":
        """The blocks of each run's model."""
        return self._rows("layers", order="run, stack, layer", run=runs)

    def events(self, runs: Names = None) -> "pd.DataFrame":
        """Resumes, phases, warnings."""
        return self._rows("events", order="run, step", run=runs)

    def layer_stats(
        self,
        runs: Names = None,
        site: Names = None,
        phase: Names = None,
        layers: int | Iterable[int] | None = None,
        columns: Iterable[str] | None = None,
        steps: Steps = (0, None),
    ) -> "pd.DataFrame":
        """Metrics per run, step, phase, stack, layer and site; `steps` are the first and the last, both included.

        `columns` picks metrics (default: all); one that no run has comes as an empty column.
        """
        return self._rows(
            "layer_stats",
            order="run, stack, site, layer, step, phase",
            columns=columns,
            steps=steps,
            run=runs,
            site=site,
            phase=phase,
            layer=layers,
        )

    def massive(self, runs: Names = None, phase: Names = None, steps: Steps = (0, None)) -> "pd.DataFrame":
        """The largest activations of each block output."""
        return self._rows("massive", order="run, step, phase, stack, layer, rank", steps=steps, run=runs, phase=phase)

    def steps(
        self, runs: Names = None, columns: Iterable[str] | None = None, steps: Steps = (0, None)
    ) -> "pd.DataFrame":
        """One row an optimizer step; `columns` picks from loss, lr, tokens, ... (default: all)."""
        return self._rows("steps", order="run, step", columns=columns, steps=steps, run=runs)

    def scalars(self, runs: Names = None, name: Names = None) -> "pd.DataFrame":
        """What the user logged by name."""
        return self._rows("scalars", order="run, name, step", run=runs, name=name)

    def interventions(
        self, runs: Names = None, action: Names = None, site: Names = None, steps: Steps = (0, None)
    ) -> "pd.DataFrame":
        """Held-out losses with blocks skipped, branches zeroed, blocks repeated or removed together."""
        order = "run, step, action, site, stack, layer, span"
        return self._rows("interventions", order=order, steps=steps, run=runs, action=action, site=site)

    def distances(self, runs: Names = None, steps: Steps = (0, None)) -> "pd.DataFrame":
        """Angular distances between the input of a block and the output some blocks later."""
        return self._rows("distances", order="run, step, stack, layer, span", steps=steps, run=runs)

    def layer_effects(self, runs: Names = None, measure: Names = None, steps: Steps = (0, None)) -> "pd.DataFrame":
        """Effects of a layer on later ones, and the summaries of layer effectiveness."""
        order = "run, step, measure, stack, layer, later_layer"
        return self._rows("layer_effects", order=order, steps=steps, run=runs, measure=measure)

    def sparsity(self, runs: Names = None, steps: Steps = (0, None)) -> "pd.DataFrame":
        """Held-out losses of pruned weights."""
        order = "run, step, definition, weights, ranking, scope, pattern, sparsity"
        return self._rows("sparsity", order=order, steps=steps, run=runs)

    def sparsity_layers(self, runs: Names = None, steps: Steps = (0, None)) -> "pd.DataFrame":
        """Near-zero fractions and pruned shares of each weight matrix."""
        return self._rows("sparsity_layers", order="run, step, stack, layer, matrix, threshold", steps=steps, run=runs)

    def _rows(
        self,
        table: str,
        *,
        order: str,
        columns: Iterable[str] | None = None,
        steps: Steps = (None, None),
        **filters: Any,
    ) -> "pd.DataFrame":
        where, params = where_sql(steps, filters)

        def make(metrics: Mapping[str, str]) -> Question:
            known = metrics if table == "layer_stats" else base_columns()[table]
            chosen = _chosen(known, table, columns)
            return f"SELECT {chosen} FROM {table} WHERE {where} ORDER BY {order}", params

        return ask(self, make)


def ask(store: Store, make: Callable[[Mapping[str, str]], Question]) -> "pd.DataFrame":
    """The answer to a question of ours, which `make` puts when it is told the columns of layer_stats (name -> type)."""
    return store.answer(make)


def one_select(
    connection: duckdb.DuckDBPyConnection, query: str, params: Sequence[Any] | Mapping[str, Any]
) -> "pd.DataFrame":
    """The answer to a user's query. DepthscopeError for one that is wrong or not a single SELECT."""
    only_select(connection, query)
    try:
        return connection.execute(query, params if isinstance(params, Mapping) else list(params)).df()
    except duckdb.Error as error:
        raise DepthscopeError(f"the query failed: {str(error).splitlines()[0]}") from error


def only_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise DepthscopeError for a query that is not a single SELECT."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise DepthscopeError(f"the query failed: {str(error).splitlines()[0]}") from error
    if [statement.type in _READS for statement in statements] != [True]:
        raise DepthscopeError("expected one SELECT statement, got something else; a store is only read")


def _chosen(known: Mapping[str, str], table: str, columns: Iterable[str] | None) -> str:
    """The select list. Names come from users: they are quoted, and a column that is not there is NULL."""
    if columns is None:
        return ", ".join(quote(name) for name in known)
    lower = {name.lower() for name in known}
    keys = [name for name in ("run", "step", "phase", "stack", "layer", "site") if name in base_columns()[table]]
    extra = [name for name in dict.fromkeys(columns) if name.lower() not in keys]
    return ", ".join(
        quote(name) if name.lower() in lower else f"NULL::FLOAT AS {quote(name)}" for name in [*keys, *extra]
    )


def where_sql(steps: Steps, filters: Mapping[str, Any]) -> Question:
    """A condition and its parameters: values are equal to one of those wanted, steps lie in a closed range."""
    parts, params = ["true"], []
    for column, wanted in filters.items():
        if wanted is None:
            continue
        values = [wanted] if isinstance(wanted, str | int) else list(wanted)
        parts.append(f"{column} IN ({', '.join('?' * len(values))})" if values else "false")
        params += values
    for bound, operator in zip(steps, (">=", "<="), strict=True):
        if bound is not None:
            parts.append(f"step {operator} ?")
            params.append(bound)
    return " AND ".join(parts), params
