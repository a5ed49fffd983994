"""The child's side: pickled calls on stdin, pickled answers on stdout, until stdin ends.

python -m depthscope.store.targets.serve
"""

import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from ..errors import DepthscopeError, StoreBusy
from . import ducklake
from .deliver import Delivery, deliver
from .lake import Lake
from .quack import Server
from .url import scheme

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

_TARGETS: dict[str, type[Lake | Server]] = {"ducklake": Lake, "quack": Server}
_open: dict[str, Lake | Server] = {}


def _asked(url: str, question: Callable[[Lake | Server], Any]) -> Any:
    if url not in _open:
        _open[url] = _TARGETS[scheme(url)](url)
    try:
        return question(_open[url])
    except duckdb.Error:
        _open.pop(url, None)  # whatever it was, the next call starts with a connection of its own
        raise


def _query(url: str, sql: str, params: Sequence[Any] | Mapping[str, Any], own: bool) -> "pd.DataFrame":
    frame: pd.DataFrame = _asked(url, lambda target: target.query(sql, params, own))
    return frame


def _deliver(store: str, to: str, data: str | None) -> Delivery:
    return deliver(Path(store), to, data)


def _tidy(url: str) -> tuple[int, int]:
    with closing(ducklake.attached(url)) as connection:
        return ducklake.tidy(connection)


HANDLERS: dict[str, Callable[..., Any]] = {
    "check": lambda url: _asked(url, lambda target: target.check()),
    "columns": lambda url: _asked(url, lambda target: target.columns()),
    "query": _query,
    "deliver": _deliver,
    "tidy": _tidy,
}


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
