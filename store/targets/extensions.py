"""DuckDB extensions from Python wheels (`pip install duckdb-extension-ducklake`): nothing is fetched while we run."""

import importlib.util
from pathlib import Path

import duckdb

from ..errors import DepthscopeError
from ..schema import literal

__all__ = ["ExtensionMissing", "load"]


class ExtensionMissing(DepthscopeError):
    """A DuckDB extension that a target needs is not installed for this DuckDB."""


def load(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions: one that DuckDB has installed, else the one of a wheel. ExtensionMissing where there is none."""
    connection.execute("SET autoinstall_known_extensions = false")  # without a network each try hangs for seconds
    for name in names:
        try:
            connection.execute(f"LOAD {name}")
        except duckdb.Error:
            _load_file(connection, name)


def _load_file(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    files = [] if package is None or package.origin is None else Path(package.origin).parent.rglob("*.duckdb_extension")
    for file in files:
        try:
            connection.execute(f"LOAD {literal(str(file))}")
            return
        except duckdb.Error:  # built for another DuckDB
            continue
    wheel = f"duckdb-extension-{name.replace('_', '-')}"
    raise ExtensionMissing(
        f"expected DuckDB's extension {name} for DuckDB {duckdb.__version__}, found none; wheels end at DuckDB 1.5.5: "
        f"pip install 'duckdb==1.5.5' '{wheel}==1.5.5', or INSTALL {name} in a DuckDB client with a network"
    )
