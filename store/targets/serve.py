"""The child's side: pickled calls on stdin, pickled answers on stdout, until stdin ends.

python -m depthscope.store.targets.serve
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from ..errors import DepthscopeError, StoreBusy, StoreMissing
from ..reader import make_views, one_select
from ..tail import load_tail
from . import ducklake
from .deliver import Delivery, deliver
from .lake import Lake

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

_lakes: dict[str, Lake] = {}


def _check(url: str) -> None:
    with _cursor(url) as cursor:
        if not ducklake.has_tables(cursor):
            raise StoreMissing(f"expected runs at {url}, found none; depthscope ingest STORE --to brings them")


def _columns(url: str) -> dict[str, str]:
    """Name and type of the columns of layer_stats."""
    with _cursor(url) as cursor:
        found = cursor.execute("SELECT column_name, column_type FROM (DESCRIBE layer_stats)").fetchall()
        return {str(name): str(kind) for name, kind in found}


def _query(url: str, sql: str, params: Sequence[Any] | Mapping[str, Any], own: bool) -> "pd.DataFrame":
    """The answer to a question; `own` ones are ours, others must be one SELECT."""
    with _cursor(url) as cursor:
        make_views(cursor, load_tail(cursor, f"{ducklake.NAME}.main.", []), sql)
        if not own:
            return one_select(cursor, sql, params)
        frame: pd.DataFrame = cursor.execute(sql, params if isinstance(params, Mapping) else list(params)).df()
        return frame


def _deliver(store: str, to: str, data: str | None) -> Delivery:
    return deliver(Path(store), to, data)


HANDLERS: dict[str, Callable[..., Any]] = {"check": _check, "columns": _columns, "query": _query, "deliver": _deliver}


@contextmanager
def _cursor(url: str) -> Iterator[duckdb.DuckDBPyConnection]:
    cursor = _lakes.setdefault(url, Lake(url)).cursor()
    try:
        yield cursor
    except duckdb.Error:
        _lakes.pop(url, None)  # whatever it was, the next call starts with a connection of its own
        raise
    finally:
        cursor.close()


def _answer(name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, HANDLERS[name](*arguments)
    except DepthscopeError as error:
        return False, error
    except Exception as error:
        said = str(error).splitlines() or [type(error).__name__]
        return False, StoreBusy(f"the target could not answer: {said[-1][:200]}")


def main() -> None:
    """Serve until stdin ends."""
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    while True:
        try:
            name, arguments = pickle.load(calls)
        except EOFError:
            return
        pickle.dump(_answer(name, arguments), answers)
        answers.flush()


if __name__ == "__main__":
    main()
