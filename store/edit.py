"""Taking runs out of a store and giving them other names."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from . import claims
from .coerce import text
from .connect import Deadline, opened
from .errors import DepthscopeError, RunMissing, RunRunning
from .ingest import fold_all
from .layout import Layout, list_segments
from .lock import only_one
from .reader import Store
from .schema import base_columns

__all__ = ["remove_runs", "rename_run"]

_PATIENCE = 30.0  # seconds to wait for an ingest that runs, or for whoever holds the database
_ALIVE = timedelta(seconds=60)  # a run whose last sign of life is older is not running any more


def remove_runs(store: Store | Path | str, runs: str | Iterable[str]) -> list[str]:
    """Delete runs, all or none, and free their names. The file keeps its size until `compact`.

    Raises RunMissing, RunRunning for a run that gave a sign of life within the last minute, StoreBusy.
    """
    names = list(dict.fromkeys([runs] if isinstance(runs, str) else runs))
    layout = _layout(store)
    with _ready(layout) as connection:
        for name in names:
            _check_at_rest(connection, layout, name)

        def delete() -> None:
            for table in _tables_of_runs():
                connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT unnest(?::VARCHAR[]))", [names])

        _in_transaction(connection, delete)
    for name in names:
        claims.release(layout.claims, name)
    return names


def rename_run(store: Store | Path | str, old: str, new: str) -> str:
    """Give a run another name and return it as stored. Raises as `remove_runs` does, and RunNameTaken."""
    new = text(new)
    if not new:
        raise DepthscopeError("expected a new name, got an empty one")
    layout = _layout(store)
    with _ready(layout) as connection:
        _check_at_rest(connection, layout, old)
        claims.copy(layout.claims, old, new)
        try:

            def update() -> None:
                for table in _tables_of_runs():
                    connection.execute(f"UPDATE {table} SET run = ? WHERE run = ?", [new, old])

            _in_transaction(connection, update)
        except BaseException:
            claims.release(layout.claims, new)
            raise
    claims.release(layout.claims, old)
    return new


def _layout(store: Store | Path | str) -> Layout:
    layout = Layout(Path(store.path if isinstance(store, Store) else store).absolute())
    layout.check_own()
    return layout


@contextmanager
def _ready(layout: Layout) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database open for writing, with everything folded in and nobody else folding."""
    deadline = Deadline(_PATIENCE)
    try:
        with only_one(layout, deadline):
            fold_all(layout, deadline)
            with opened(layout.database, deadline, read_only=False) as connection:
                yield connection
    except (OSError, duckdb.Error) as error:
        raise DepthscopeError(f"cannot write to {layout.root} now: {str(error).splitlines()[0]}") from error


def _in_transaction(connection: duckdb.DuckDBPyConnection, work: Callable[[], None]) -> None:
    connection.execute("BEGIN")
    try:
        work()
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _check_at_rest(connection: duckdb.DuckDBPyConnection, layout: Layout, run: str) -> None:
    """Raise RunMissing for a name that nobody has, RunRunning where rows of the run may still come."""
    found = connection.execute("SELECT status, heartbeat_at FROM runs WHERE run = ?", [run]).fetchall()
    if not found and not claims.is_claimed(layout.claims, run):
        raise RunMissing(f"expected a run of {layout.root}, got {run[:80]!r}; `depthscope runs` lists them")
    for status, heartbeat in found:
        if status == "running" and heartbeat and datetime.now(UTC).replace(tzinfo=None) - heartbeat < _ALIVE:
            raise RunRunning(f"expected a run that has ended, {run[:80]!r} is running; end it first")
    attempts = {row[0] for row in connection.execute("SELECT attempt FROM attempts WHERE run = ?", [run]).fetchall()}
    if waiting := [s.path.name for s in list_segments(layout.spool) if s.attempt in attempts]:
        raise RunRunning(f"expected all rows of {run[:80]!r} in the database, {waiting[0]} cannot be folded in")


def _tables_of_runs() -> list[str]:
    return [table for table, columns in base_columns().items() if "run" in columns]
