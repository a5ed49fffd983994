"""Deliver again and again: what a process beside the training does until it is stopped."""

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import StoreBusy
from .child import Child
from .deliver import Delivery

__all__ = ["follow"]

_EVERY = 2.0  # seconds from one delivery to the next
_LONGEST = 30.0  # while the target cannot be reached
_PATIENCE = 300.0  # for one delivery


def follow(
    store: Path | str,
    to: str,
    data: str | None,
    say: Callable[[str], None],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Deliver until `stopped`. Trouble that may pass is said once, and tried again; segments wait in the meantime.

    A process of its own delivers, so that nothing that happens to a connection ends this one.
    """
    child = Child(_PATIENCE)
    try:
        _follow(lambda: child.call("deliver", str(store), to, data), say, stopped)
    finally:
        child.close()


def _follow(deliver: Callable[[], Delivery], say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    wait, trouble = _EVERY, ""
    while not stopped():
        try:
            done = deliver()
        except StoreBusy as busy:
            if str(busy) != trouble:
                trouble = str(busy)
                say(f"waiting: {trouble}")
            wait = min(wait * 2, _LONGEST)
        else:
            if trouble:
                say(f"delivering again, {done.folded} segments")
            wait, trouble = _EVERY, ""
        _sleep(wait, stopped)


def _sleep(seconds: float, stopped: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stopped():
        time.sleep(min(0.2, max(0.0, end - time.monotonic())))
