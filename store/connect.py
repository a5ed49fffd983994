"""Opening the database file: briefly, one connection at a time in a process.

DuckDB's lock on the file belongs to the process: a second instance of the same file in this process would drop the lock
of the first when it closes (POSIX fcntl locks), and a writer could come in under a running query. So every connection
of this package to a store's database goes through here and waits for the one before it, and nothing else opens the
file.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from .errors import NotAStore, StoreBusy, StoreTooNew
from .filesystem import refuse_network

__all__ = ["Deadline", "before_opening", "opened", "quiet"]

_ONE_AT_A_TIME = threading.Lock()
_thread = threading.local()
_OWN_QUERY = 60.0  # seconds to wait for another query of this process; patience is for other processes
_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")
# A setting of our own keeps the instance apart from one that the user has open in this process.
_OURS: dict[str, str | bool | int | float | list[str]] = {"python_enable_replacements": False}


class Deadline:
    """A moment some seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, 0 when it is past."""
        return max(0.0, self._end - time.monotonic())

    def pause(self) -> bool:
        """Sleep a moment before another try; False when there is no time for one."""
        if not self.left:
            return False
        time.sleep(min(self.left, random.uniform(0.01, 0.05)))
        return True


def before_opening(call: Callable[[], None] | None) -> None:
    """Have `call` made before this thread opens a database: it gives back the one that this thread keeps open."""
    _thread.before = call


@contextmanager
def opened(path: Path | None, deadline: Deadline, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the database at `path` (None: an empty one in memory), closed at the end.

    Retries to the deadline, then raises StoreBusy naming the holder. Raises NotAStore for another file, StoreTooNew for
    a database format that this DuckDB does not read, NetworkFileSystem.
    """
    if path is None:
        with quiet(duckdb.connect(":memory:", config=_OURS)) as connection:
            yield connection
        return
    refuse_network(path, "a database")
    if (before := getattr(_thread, "before", None)) is not None:
        before()
    if not _ONE_AT_A_TIME.acquire(timeout=_OWN_QUERY):
        raise StoreBusy(f"expected to open {path} within {_OWN_QUERY:g} s, another query of this process still runs")
    try:
        with _connect(path, deadline, read_only) as connection:
            yield connection
    finally:
        _ONE_AT_A_TIME.release()


def quiet(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The connection, which draws no progress bar: at a prompt and in notebooks one appears after 2 s."""
    connection.execute("SET enable_progress_bar = false")
    return connection


def _connect(path: Path, deadline: Deadline, read_only: bool) -> duckdb.DuckDBPyConnection:
    while True:
        try:
            return quiet(_try(lambda **config: duckdb.connect(str(path), read_only=read_only, **config)))
        except duckdb.Error as error:
            holder = _holder(path, error)
            if not deadline.pause():
                raise StoreBusy(
                    f"expected to open {path} within {deadline.seconds:g} s, {holder} holds it; close it there"
                ) from error


def _try(connect: Callable[..., duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
    try:
        return connect(config=_OURS)
    except duckdb.ConnectionException:
        # The user has the file open in this process: share that instance, settings and all.
        return connect()


def _holder(path: Path, error: duckdb.Error) -> str:
    """Who holds the file; raises what is to be raised when the trouble is another one."""
    message = str(error)
    if found := _HOLDER.search(message):
        return f"{Path(found[1]).name} (process {found[2]})"
    if isinstance(error, duckdb.ConnectionException) or "already attached" in message:
        return "another connection of this process"
    if "lock" in message:
        return "another process"
    if "version number" in message:
        raise StoreTooNew(
            f"expected a database that DuckDB {duckdb.__version__} reads, {path} is newer; upgrade duckdb"
        ) from error
    raise NotAStore(f"expected a DuckDB database at {path}: {message.splitlines()[0]}") from error
