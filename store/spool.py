"""The writer of a training process: records go into memory at once and to disk from a background thread.

It never opens the database, so nobody who reads the store can make a training step wait or fail. What is written here
is read at once by every reader, and folded into the database by `ingest`.
"""

import atexit
import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from . import claims
from .backlog import thin
from .coerce import text
from .connect import quiet
from .errors import DepthscopeError, RunMissing
from .ingest import start_ingest
from .layout import Layout, default_store, list_segments
from .reader import open_store
from .records import Event, Layer, Metric, Record, RunInfo
from .segments import Rows, facts_of, rows_of, segment_name, write_segment
from .tail import ensure_sentinel

__all__ = ["RunWriter", "open_run"]

_TICK = 0.1  # seconds between looks at the queue
_INTERVAL = 2.0  # seconds from one segment to the next
_LONGEST_INTERVAL = 45.0  # while nobody ingests; below the 60 s after which a run counts as stalled
_HEARTBEAT = 20.0  # seconds between segments of a run that has nothing to say
_MANY_SEGMENTS = 64  # waiting segments that call for an ingest
_INGEST_AGAIN = 30.0  # seconds from one such call to the next
_LAST_FLUSH = 30.0  # seconds that close() waits for the disk
_EARLY = 4_000  # records that do not wait for the interval
_BACKLOG = 50_000  # records kept while the disk refuses them: about 50 MB; from half of it on they are thinned out
_MOST_WARNINGS = 20  # different ones; a loop that repeats itself must not fill the log


@dataclass(frozen=True)
class _AttemptRow:
    """The row of table attempts that every segment carries."""

    table: ClassVar[str] = "attempts"

    attempt: str
    from_step: int
    started_at: datetime


def open_run(
    store: Path | str | None,
    info: RunInfo,
    *,
    resume: bool = False,
    append: bool = False,
    from_step: int | None = None,
    rank: int = 0,
) -> "RunWriter":
    """Claim the run's name, write the attempt down and start the background thread.

    `resume=True` adds an attempt to a run that may exist: from `from_step` on (default: its last step + 1) its rows
    replace the earlier ones. `append=True` adds rows to a run that exists, replaces none and leaves its status as it
    is: for measurements made of its checkpoints. A rank other than 0 joins the newest attempt, so rank 0 must have
    opened the run before.
    Raises RunNameTaken, RunMissing, StoreBusy (only to find the last step), and DepthscopeError when the folder cannot
    be written.
    """
    layout = Layout(Path(store if store is not None else default_store()).absolute())
    info = replace(info, run=text(info.run))
    if not info.run:
        raise DepthscopeError("expected a run name, got an empty one; leave it out to have one made")
    try:
        layout.create()
        ensure_sentinel(layout)
        attempt = _appended(layout, info.run) if append else _attempt(layout, info.run, resume, from_step, rank)
        with _returning_name(layout, info.run, new=rank == 0 and not (resume or append)):
            return RunWriter(layout, attempt, info, rank)
    except (OSError, duckdb.Error) as error:
        raise DepthscopeError(
            f"cannot write to the store at {layout.root} ({_reason(error)}); pass another store"
        ) from error


def _attempt(layout: Layout, run: str, resume: bool, from_step: int | None, rank: int) -> claims.Attempt:
    if rank != 0:
        return claims.newest(layout.claims, run)
    if not resume:
        return claims.claim(layout.claims, run, [from_step or 0])[0]
    if from_step is None:
        last = open_store(layout.root).sql("SELECT coalesce(max(last_step), -1) AS last FROM runs WHERE run = ?", [run])
        from_step = int(last["last"][0]) + 1
    return claims.join(layout.claims, run, [from_step])[0]


def _appended(layout: Layout, run: str) -> claims.Attempt:
    if not claims.is_claimed(layout.claims, run):
        raise RunMissing(f"expected a run to append to, found none called {run[:80]!r} in {layout.root}")
    return claims.join(layout.claims, run, [claims.APPENDS])[0]


@contextmanager
def _returning_name(layout: Layout, run: str, *, new: bool) -> Iterator[None]:
    """A run of which nothing could be written leaves its name free."""
    try:
        yield
    except BaseException:
        if new:
            claims.release(layout.claims, run)
        raise


class RunWriter:
    """Writes one attempt of a run. Made by `open_run`; `write` and `close` never raise, `close` may be called twice."""

    def __init__(self, layout: Layout, attempt: claims.Attempt, info: RunInfo, rank: int) -> None:
        self.run = attempt.run
        self.attempt = attempt.attempt
        self._appends = attempt.from_step == claims.APPENDS
        self.from_step = 0 if self._appends else attempt.from_step
        self.store = layout.root
        self._spool = layout.spool
        self._own_row = _AttemptRow(attempt.attempt, attempt.from_step, attempt.started_at)
        self._next: claims.Attempt | None = None
        self._rank = rank
        self._seq = 0
        self._pid = os.getpid()
        self._incoming: deque[Any] = deque([info])
        self._backlog: list[Any] = []  # taken from the queue, not yet on disk
        self._facts: dict[str, Any] = {} if self._appends else {"status": "running", "started_at": attempt.started_at}
        self._refused = 0  # records let go while the disk refused them
        self._thinned: set[int] = set()  # steps that some of them belong to
        self._failing_since: datetime | None = None
        self._warned: set[str] = set()
        self._connection = _connect()
        self._stop = threading.Event()
        self._ending: dict[str, Any] = {}  # what the last segment says of the run
        self._closed = self._done = False
        self._flush()
        self._start()
        atexit.register(self._at_exit)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="depthscope-spool", daemon=True)
        self._thread.start()

    def _revive(self) -> None:
        """Another thread for one that died; what it had not written is still here."""
        if self._thread.is_alive():
            return
        try:
            self._start()
            self._report("the writer thread died and was started again")
        except RuntimeError as error:  # no thread can be had now
            self._warn(f"the writer thread died and cannot be started again ({_reason(error)})")

    def write(self, *records: Record) -> None:
        """Hand records over. Never blocks and never raises; what a forked child hands over goes nowhere."""
        if self._closed or os.getpid() != self._pid:
            return
        self._revive()
        if len(self._incoming) + len(self._backlog) < _BACKLOG:
            self._incoming.extend(records)
            return
        # What a run is stays; what it measured while the disk was full does not.
        kept = [record for record in records if isinstance(record, RunInfo | Layer | Metric)]
        self._incoming.extend(kept)
        self._refused += len(records) - len(kept)

    def begin_at(self, step: int) -> None:
        """Go on from another step than `from_step`, as one more attempt of the run.

        Only before rows of a step were written: what is known by now of the run goes with the new attempt. Raises
        OSError where the claim cannot be written; nothing has changed then.
        """
        [self._next] = claims.join(Layout(self.store).claims, self.run, [step])
        self.from_step = step

    def close(self, status: str = "finished") -> None:
        """Write what is left, with the run's `status` (finished, failed, interrupted), and start an ingest."""
        if self._done or os.getpid() != self._pid:
            return
        if not self._appends:
            self._ending = self._ending or {"status": text(status), "ended_at": _now()}
        if not self._closed:
            self._revive()
        self._closed = True
        self._stop.set()
        self._thread.join(
            timeout=_LAST_FLUSH
        )  # a second Ctrl-C may end this wait; the interpreter's exit comes back to it
        self._done = True
        atexit.unregister(self._at_exit)
        if self._thread.is_alive() or self._failing_since is not None:
            self._warn(f"the last rows of {self.run[:80]!r} could not be written to {self.store} and are lost")
        else:
            start_ingest(self.store)

    def _at_exit(self) -> None:
        self.close("failed" if _crashed() else "interrupted")

    def _loop(self) -> None:
        interval, last, next_ingest = _INTERVAL, time.monotonic(), 0.0
        while not self._stop.wait(_TICK):
            if self._failing_since and len(self._incoming) >= min(_EARLY, _BACKLOG // 4):
                self._absorb()
            if not self._due(time.monotonic() - last, interval):
                continue
            self._try_flush()
            last = time.monotonic()
            crowded = self._crowded()
            interval = min(interval * 2, _LONGEST_INTERVAL) if crowded or self._failing_since else _INTERVAL
            if crowded and last >= next_ingest:
                next_ingest = last + _INGEST_AGAIN
                start_ingest(self.store)
        self._facts |= self._ending
        self._try_flush()
        if self._incoming and self._failing_since is None:  # what that flush had to report
            self._try_flush()
        self._connection.close()

    def _crowded(self) -> bool:
        try:
            return len(list_segments(self._spool)) > _MANY_SEGMENTS
        except OSError:
            return False

    def _due(self, waited: float, interval: float) -> bool:
        if not self._incoming and not self._backlog:
            interval = max(interval, _HEARTBEAT)
        early = len(self._incoming) >= _EARLY and not self._failing_since
        return early or waited >= interval

    def _try_flush(self) -> None:
        """Flush; when that fails everything stays in memory for the next time."""
        try:
            self._flush()
        except (OSError, duckdb.IOException, MemoryError, duckdb.OutOfMemoryException) as error:
            if self._failing_since is None:  # the reason names another file every time
                self._warn(f"cannot write to {self.store} now, keeping rows in memory ({_reason(error)})")
            self._failing_since = self._failing_since or _now()
            self._absorb()
        except Exception as error:  # rows that can never be written must not block the ones that come after them
            self._report(f"{len(self._backlog)} records could not be stored ({_reason(error)})")
            self._backlog = []
            self._connection = _connect()

    def _absorb(self) -> None:
        """Take what is waiting, without the disk; too much of it is thinned out."""
        self._take()
        if len(self._backlog) > _BACKLOG // 2:
            thinned = thin(self._backlog, _BACKLOG // 2)
            self._refused += len(self._backlog) - len(thinned.kept)
            self._thinned |= thinned.steps
            self._backlog = thinned.kept

    def _take(self) -> None:
        for _ in range(len(self._incoming)):
            self._backlog.append(self._incoming[0])  # before it leaves the queue: it is always in one of the two
            self._incoming.popleft()

    def _flush(self) -> None:
        """Write one segment: what is waiting and all that is known of the run, so that it needs no earlier one."""
        self._take()
        self._turn_over()
        rows = rows_of([self._own_row, *self._backlog], self.run)
        self._facts |= facts_of(self._backlog, rows.lost)
        if not self._appends:
            self._facts |= self._steps_seen(rows) | {"heartbeat_at": _now()}
        if self._rank == 0:
            rows.tables["runs"] = [self._facts | {"run": self.run}]
        path = self._spool / segment_name(self.attempt, self._rank, self._seq)
        write_segment(self._connection, path, rows, (self.attempt, self._rank, self._seq))
        self._seq += 1
        self._backlog = []
        self._recovered()
        for loss in dict.fromkeys(rows.lost):
            self._report(f"not stored: {loss}")

    def _turn_over(self) -> None:
        """Write for the attempt that `begin_at` made, from here on."""
        if self._next is not None:
            attempt, self._next = self._next, None
            self.attempt, self._seq = attempt.attempt, 0
            self._own_row = _AttemptRow(attempt.attempt, attempt.from_step, attempt.started_at)

    def _steps_seen(self, rows: Rows) -> dict[str, int]:
        steps = [row["step"] for table in ("steps", "layer_stats") for row in rows.tables.get(table, ())]
        if not steps:
            return {}
        return {
            "first_step": min([*steps, self._facts.get("first_step", steps[0])]),
            "last_step": max([*steps, self._facts.get("last_step", steps[0])]),
        }

    def _recovered(self) -> None:
        if self._failing_since is None and not self._refused:
            return
        steps = sorted(self._thinned)
        thinned = f", thinned out between steps {steps[0]} and {steps[-1]}" if steps else ""
        since = (
            f"could not be written from {self._failing_since:%H:%M:%S} UTC on" if self._failing_since else "was slow"
        )
        self._report(f"the store {since}; {self._refused} records lost{thinned}")
        self._failing_since, self._refused, self._thinned = None, 0, set()

    def _report(self, message: str) -> None:
        """Tell the user and leave an event behind; each message once."""
        if message not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._incoming.append(Event(self._facts.get("last_step", self.from_step), "dropped", message))
        self._warn(message)

    def _warn(self, message: str) -> None:
        if message in self._warned or len(self._warned) >= _MOST_WARNINGS:
            return
        self._warned.add(message)
        try:
            warnings.warn(f"depthscope: {message}", RuntimeWarning, stacklevel=2)
        except RuntimeWarning as warning:  # warnings are errors here, and an error must not reach the training loop
            print(warning, file=sys.stderr)


def _connect() -> duckdb.DuckDBPyConnection:
    """An empty database in memory, which writes Parquet; making one costs three times what a segment costs."""
    return quiet(duckdb.connect(":memory:", config={"threads": 1}))


def _crashed() -> bool:
    """Whether the interpreter ends on an error. A prompt keeps going after errors, so there they mean nothing."""
    kind = getattr(sys, "last_type", None)
    return kind is not None and issubclass(kind, Exception) and not hasattr(sys, "ps1")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _reason(error: BaseException) -> str:
    return text(error).split("\n")[0][:200]
