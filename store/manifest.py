"""What a bundle says of itself in manifest.json, and whether its files keep to it."""

import glob
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from .errors import BundleInvalid, StoreTooNew
from .schema import SCHEMA_VERSION, base_columns
from .segments import metric_allowed

__all__ = ["Manifest", "bundle_columns", "parquet", "read_manifest", "write_manifest"]

_FORMAT = "depthscope bundle"
_FILE = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The runs in a bundle, oldest first, and how many rows each table has; a table without rows has no file."""

    schema: int
    runs: list[str]
    tables: dict[str, int]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    text = json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1)
    (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json. Raises BundleInvalid when it is not one, StoreTooNew when a later depthscope wrote it."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(folder, f"its {_FILE} cannot be read") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _invalid(folder, f"its {_FILE} is another program's")
    schema, runs, tables = (content.get(key) for key in ("schema", "runs", "tables"))
    if not (isinstance(schema, int) and isinstance(runs, list) and isinstance(tables, dict)):
        raise _invalid(folder, f"its {_FILE} lacks schema, runs or tables")
    if schema > SCHEMA_VERSION:
        raise StoreTooNew(f"expected a bundle of schema {SCHEMA_VERSION} or older, got {schema}; upgrade depthscope")
    if not (all(isinstance(run, str) for run in runs) and all(isinstance(rows, int) for rows in tables.values())):
        raise _invalid(folder, f"its {_FILE} lists something else than names and numbers of rows")
    if unknown := tables.keys() - base_columns().keys():
        raise _invalid(folder, f"it has the unknown table {sorted(unknown)[0][:80]!r}")
    return Manifest(schema, runs, tables)


def bundle_columns(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> dict[str, list[str]]:
    """Columns of each table's file. BundleInvalid when a file is missing, cut short, or holds what it must not."""
    found = {}
    for table, rows in manifest.tables.items():
        source = parquet(folder, table)
        try:
            described = connection.execute(
                "SELECT column_name FROM (DESCRIBE FROM read_parquet(?))", [source]
            ).fetchall()
            count = connection.execute("SELECT count(*) FROM read_parquet(?)", [source]).fetchall()[0][0]
        except duckdb.Error as error:
            raise _invalid(folder, f"its {table}.parquet cannot be read") from error
        if count != rows:
            raise _invalid(folder, f"its {table}.parquet has {count} rows, the manifest says {rows}")
        found[table] = [str(row[0]) for row in described]
        _check_columns(folder, table, found[table])
        if "run" in found[table]:
            _check_runs(connection, folder, table, manifest.runs)
    return found


def _check_columns(folder: Path, table: str, columns: list[str]) -> None:
    known = base_columns()[table]
    if missing := known.keys() - set(columns):
        raise _invalid(folder, f"its {table}.parquet lacks the column {sorted(missing)[0]!r}")
    extra = [name for name in columns if name not in known]
    refused = [name for name in extra if table != "layer_stats" or not metric_allowed(name)]
    if refused:
        raise _invalid(folder, f"its {table}.parquet has the unknown column {refused[0][:80]!r}")


def _check_runs(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, runs: list[str]) -> None:
    found = connection.execute("SELECT DISTINCT run FROM read_parquet(?)", [parquet(folder, table)]).fetchall()
    if strangers := [row[0] for row in found if row[0] not in runs]:
        raise _invalid(folder, f"its {table}.parquet has rows of {str(strangers[0])[:80]!r}, which the manifest lacks")


def parquet(folder: Path, table: str) -> str:
    """The file of a table, as DuckDB takes it."""
    return glob.escape(str(folder.absolute() / f"{table}.parquet"))


def _invalid(folder: Path, reason: str) -> BundleInvalid:
    return BundleInvalid(f"expected a bundle written by `depthscope export` at {folder}, but {reason}")
