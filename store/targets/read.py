"""A target as a store to read: the same questions, asked of a lake by a process of its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ..reader import Question, Store
from .child import Child
from .url import target_url

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RemoteStore"]

_PATIENCE = 60.0  # seconds for one answer

_child = cache(lambda url: Child(_PATIENCE))  # one a target


@dataclass(frozen=True)
class RemoteStore(Store):
    """A lake that deliveries go to; `path` is its URL. What still waits in spools is not seen."""

    @property
    def url(self) -> str:
        """Where it is."""
        return target_url(self.path) or str(self.path)

    def check(self) -> None:
        """Raise StoreMissing where nothing was delivered yet, StoreBusy where the catalog cannot be reached."""
        _child(self.url).call("check", self.url)

    def mark(self) -> str:
        """A text that changes every 2 seconds: to know whether anything was delivered costs as much as to read it."""
        return str(time.monotonic() // 2)

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> "pd.DataFrame":
        """The answer to one SELECT over the tables of schema.sql. It can read the lake and nothing else."""
        found: pd.DataFrame = _child(self.url).call("query", self.url, query, params, False)
        return found

    def answer(self, make: Callable[[Mapping[str, str]], Question]) -> "pd.DataFrame":
        """The answer to a question of ours."""
        child = _child(self.url)
        sql, params = make(child.call("columns", self.url))
        found: pd.DataFrame = child.call("query", self.url, sql, params, True)
        return found
