"""Runs as a folder of Parquet files, one a table, with a small manifest. What goes out comes in exactly as it was."""

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import duckdb

from . import claims
from .claims import Attempt
from .coerce import text
from .connect import Deadline, opened, quiet
from .errors import BundleInvalid, DepthscopeError, RunMissing, RunNameTaken
from .ingest import fold_all
from .layout import Layout
from .lock import only_one
from .look import union
from .manifest import Manifest, bundle_columns, parquet, read_manifest, write_manifest
from .reader import Store, where_sql
from .schema import SCHEMA_VERSION, base_columns, literal, quote, stepped_tables
from .tail import Tail

__all__ = ["export_runs", "import_bundle"]

_PATIENCE = 30.0  # seconds to wait for an ingest that runs, or for whoever holds the database
_SORTED_BY = ("run", "stack", "site", "layer", "step", "phase")

Beginning = tuple[int, datetime | None]  # from_step and started_at of an attempt


def export_runs(store: Store | Path | str, runs: str | Iterable[str] | None, folder: Path | str) -> Path:
    """Write runs (None: all) to a new folder, which other stores import. The folder is there when it is whole.

    Raises RunMissing for a name that the store does not have, DepthscopeError when the folder is in use.
    """
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DepthscopeError(f"expected a new folder to export to, {target} is there already; choose another")
    draft = target.absolute().with_name(f".{claims.new_ulid()}.partial")
    draft.mkdir(parents=True)
    try:
        with union(_layout(store), _PATIENCE, " ".join(base_columns())) as (connection, tail):
            names = _present(connection, [runs] if isinstance(runs, str) else runs)
            tables = {table: _export(connection, tail, table, names, draft) for table in base_columns()}
        write_manifest(draft, Manifest(SCHEMA_VERSION, names, {table: rows for table, rows in tables.items() if rows}))
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _layout(store: Store | Path | str) -> Layout:
    return Layout(Path(store.path if isinstance(store, Store) else store).absolute())


def _present(connection: duckdb.DuckDBPyConnection, runs: Iterable[str] | None) -> list[str]:
    present = [row[0] for row in connection.execute("SELECT run FROM runs ORDER BY started_at, run").fetchall()]
    wanted = present if runs is None else list(dict.fromkeys(runs))
    if missing := [name for name in wanted if name not in present]:
        raise RunMissing(f"expected a run of the store, got {missing[0][:80]!r}; `depthscope runs` lists them")
    if not wanted:
        raise RunMissing("expected runs to export, found none")
    return [name for name in present if name in wanted]


def _export(connection: duckdb.DuckDBPyConnection, tail: Tail, table: str, runs: list[str], folder: Path) -> int:
    """Write one table and return its number of rows. Metrics that no exported run has stay out."""
    columns = list(tail.columns(table))
    where, params = where_sql((None, None), {"run": runs} if "run" in columns else {})
    counts = ", ".join(f"count({quote(name)})" for name in columns)
    rows, *found = connection.execute(f"SELECT count(*), {counts} FROM {table} WHERE {where}", params).fetchall()[0]
    if rows:
        filled = {name for name, count in zip(columns, found, strict=True) if count}
        chosen = ", ".join(quote(name) for name in columns if name in filled or name in base_columns()[table])
        order = ", ".join(name for name in _SORTED_BY if name in columns) or "ALL"
        target = f"TO {literal(str(folder / f'{table}.parquet'))} (FORMAT parquet, COMPRESSION zstd)"
        connection.execute(f"COPY (SELECT {chosen} FROM {table} WHERE {where} ORDER BY {order}) {target}", params)
    return int(rows)


def import_bundle(
    folder: Path | str,
    store: Store | Path | str,
    rename: str | Mapping[str, str] | None = None,
    replace: bool = False,
) -> list[str]:
    """Take the runs of a bundle into a store, all or none, and return their names there.

    `rename`: the new name (of a bundle's only run) or old name -> new name. `replace` puts them in place of runs that
    have the name. Raises BundleInvalid, RunNameTaken, StoreBusy.
    """
    source = Path(folder)
    manifest = read_manifest(source)
    names = _names(manifest, rename)
    with quiet(duckdb.connect(":memory:")) as connection:
        columns = bundle_columns(connection, source, manifest)
        attempts = _attempts(connection, source) if "attempts" in columns else {}
    layout = _layout(store)
    layout.create()
    deadline = Deadline(_PATIENCE)
    with only_one(layout, deadline):
        fold_all(layout, deadline)
        with opened(layout.database, deadline, read_only=False) as connection:
            _check_free(connection, layout, names.values(), replace)
            with _claimed(layout, {new: attempts.get(old, [(0, None)]) for old, new in names.items()}) as claimed:
                _import(connection, source, columns, names, claimed)
        fold_all(layout, deadline)  # the views learn of new metrics
    return list(names.values())


def _names(manifest: Manifest, rename: str | Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(rename, str):
        if len(manifest.runs) != 1:
            raise DepthscopeError(f"expected a bundle of one run to rename, got {len(manifest.runs)} runs; name each")
        rename = {manifest.runs[0]: rename}
    names = {name: text((rename or {}).get(name, name)) for name in manifest.runs}
    if len(set(names.values())) < len(names) or "" in names.values():
        raise DepthscopeError("expected a name of its own for every run, got one twice or an empty one")
    return names


def _check_free(connection: duckdb.DuckDBPyConnection, layout: Layout, names: Iterable[str], replace: bool) -> None:
    stored = {row[0] for row in connection.execute("SELECT run FROM runs").fetchall()}
    for name in names:
        if not replace and (name in stored or claims.is_claimed(layout.claims, name)):
            raise RunNameTaken(f"the run name {name[:80]!r} is taken in {layout.root}; rename the run or replace it")


def _attempts(connection: duckdb.DuckDBPyConnection, source: Path) -> dict[str, list[Beginning]]:
    rows = connection.execute(
        "SELECT run, from_step, started_at FROM read_parquet(?) ORDER BY attempt", [parquet(source, "attempts")]
    ).fetchall()
    found: dict[str, list[Beginning]] = {}
    for run, from_step, started_at in rows:
        found.setdefault(run, []).append((int(from_step or 0), started_at))
    return found


@contextmanager
def _claimed(layout: Layout, beginnings: Mapping[str, list[Beginning]]) -> Iterator[list[Attempt]]:
    """Attempts of this store in place of the bundle's; a name taken just for them is given back on failure."""
    taken: list[str] = []
    made: list[Attempt] = []
    try:
        for name, started in beginnings.items():
            steps = [step for step, _ in started]
            if claims.is_claimed(layout.claims, name):
                attempts = claims.join(layout.claims, name, steps)
            else:
                attempts = claims.claim(layout.claims, name, steps)
                taken.append(name)
            made += [
                dataclasses.replace(a, started_at=at or a.started_at)
                for a, (_, at) in zip(attempts, started, strict=True)
            ]
        yield made
    except BaseException:
        for name in taken:
            claims.release(layout.claims, name)
        raise


def _import(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    columns: Mapping[str, list[str]],
    names: Mapping[str, str],
    attempts: list[Attempt],
) -> None:
    """One transaction: rows that have the names go, the bundle's come."""
    connection.execute("CREATE OR REPLACE TEMP TABLE names (old VARCHAR, new VARCHAR)")
    connection.executemany("INSERT INTO names VALUES (?, ?)", list(names.items()))
    connection.execute("BEGIN")
    try:
        for table in [*stepped_tables(), "layers", "attempts"]:
            connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT new FROM names)")
        _add_metrics(connection, columns.get("layer_stats", []))
        for table in columns.keys() - {"attempts"}:
            connection.execute(_insert_sql(table, columns[table]), [parquet(source, table)])
        rows = [(a.attempt, a.run, a.from_step, a.started_at) for a in attempts]
        connection.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    except BaseException as error:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
            connection.execute("ROLLBACK")
        if isinstance(error, duckdb.ConversionException):
            raise BundleInvalid(f"expected a bundle at {source}, but {str(error).splitlines()[0]}") from error
        raise


def _add_metrics(connection: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
    known = {
        row[0].lower() for row in connection.execute("SELECT name FROM pragma_table_info('layer_stats')").fetchall()
    }
    for name in columns:
        if name.lower() not in known:
            connection.execute(f"ALTER TABLE layer_stats ADD COLUMN {quote(name)} FLOAT")


def _insert_sql(table: str, columns: list[str]) -> str:
    """Rows under their new name, in the file's order; the store's own account of a metric stays."""
    into = ", ".join(quote(name) for name in columns)
    chosen = ", ".join("n.new" if name == "run" else f"b.{quote(name)}" for name in columns)
    if table == "metrics":
        return f"INSERT INTO metrics ({into}) SELECT {chosen} FROM read_parquet(?) AS b ANTI JOIN metrics USING (name)"
    verb = "INSERT OR REPLACE" if table == "runs" else "INSERT"
    order = ", ".join(f"b.{name}" for name in _SORTED_BY if name in columns)
    return (
        f"{verb} INTO {table} ({into}) SELECT {chosen} FROM read_parquet(?) AS b "
        f"JOIN names AS n ON n.old = b.run ORDER BY {order}"
    )
