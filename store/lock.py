"""ingest.lock: whoever changes the database holds it, so that there is one at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from .connect import Deadline
from .errors import StoreBusy
from .filesystem import refuse_network
from .layout import Layout

__all__ = ["only_one"]


@contextmanager
def only_one(layout: Layout, deadline: Deadline) -> Iterator[None]:
    """Hold ingest.lock, which goes when its holder does. StoreBusy past the deadline, NetworkFileSystem."""
    refuse_network(layout.lock, "a lock")
    with layout.lock.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not deadline.pause():
                    raise StoreBusy(f"expected to fold into {layout.root} now, another ingest is running") from None
        yield
