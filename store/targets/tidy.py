"""Compacting a lake, by a process of its own as all that is asked of one."""

from contextlib import closing

from ..errors import DepthscopeError
from .child import Child
from .url import scheme

__all__ = ["compact_lake"]

_PATIENCE = 600.0  # seconds


def compact_lake(url: str) -> tuple[int, int]:
    """Make few files of many; how many the lake's tables had before and have now.

    Raises StoreBusy, and DepthscopeError for another target.
    """
    if scheme(url) != "ducklake":
        raise DepthscopeError(f"expected a store or a lake to compact, got {url}; its server keeps its own file")
    with closing(Child(_PATIENCE)) as child:
        before, after = child.call("tidy", url)
    return before, after
