"""Close what a script leaves open: loops need not call `close()`."""

import atexit
import functools
import sys
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["close_at_exit"]


class _Closable(Protocol):
    def close(self, status: str = ...) -> None: ...


def close_at_exit(probe: _Closable) -> Callable[[], None]:
    """Close `probe` when the interpreter exits, if it still lives then; returns how to take that back."""
    leave = functools.partial(_leave, weakref.ref(probe))
    atexit.register(leave)
    return functools.partial(atexit.unregister, leave)


def _leave(probe: "weakref.ref[_Closable]") -> None:
    """An interpreter that ends by itself has finished its run, one that printed a traceback has not."""
    alive, error = probe(), getattr(sys, "last_value", None)
    if alive is not None:
        alive.close(
            "finished" if error is None else "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        )
