"""Segments -> database, exactly once: one process at a time folds what lies in the spool, then removes it.

The rows and the high-water marks of their writers go in with one transaction; only after it are the segments unlinked.
A process killed in between leaves segments below the marks, which readers skip and the next ingest removes.
"""

import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from .connect import Deadline, opened
from .errors import StoreBusy
from .fold import fold
from .layout import Layout, default_store, fsync_folder, list_segments
from .lock import only_one
from .look import check_version
from .migrate import migrate
from .schema import SCHEMA_VERSION, schema_sql
from .views import make_views, views_outdated

__all__ = ["IngestResult", "create_database", "fold_all", "ingest", "new_database", "start_ingest"]

_PATIENCE = 3.0  # seconds; readers hold the file for less, and whoever holds it longer is not worth waiting for
_AT_ONCE = 1_000  # segments in one transaction
_STALE_DRAFT = 24 * 3600.0  # seconds after which a half-written file is nobody's


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did: segments folded, segments torn and set aside (`*.torn`), and why it gave up, if it did."""

    folded: int = 0
    torn: tuple[str, ...] = ()
    skipped: str | None = None


def start_ingest(path: Path | str | None = None, at_least: int = 1) -> None:
    """Ingest, and compact where that is due, in a process of its own, which outlives this one.

    Returns at once and never raises. Starts nothing where fewer than `at_least` segments wait.
    """
    root = Path(path if path is not None else default_store()).absolute()
    try:
        if len(list_segments(root / "spool")) < at_least:
            return
    except OSError:
        return
    # -P: a file duckdb.py in the user's folder must not stand in for the library. -W: the face has imported the module.
    flags = ["-P", "-W", "ignore::RuntimeWarning:runpy", "-m", "depthscope.store.upkeep"]
    try:
        child = subprocess.Popen(
            [sys.executable, *flags, str(root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, TypeError):  # no more processes, or an embedded interpreter that has no executable
        return
    try:
        threading.Thread(target=child.wait, name="depthscope-ingest", daemon=True).start()
    except RuntimeError:  # no new threads while the interpreter ends
        child.returncode = 0  # nobody will ask for it


def ingest(path: Path | str | None = None) -> IngestResult:
    """Fold every complete segment of a store into its database.

    Gives up quietly (`skipped` says why) when another ingest runs, another process holds the database, or the disk is
    full: nothing is lost, readers see the segments. Raises StoreMissing, NotAStore, StoreTooNew.
    """
    layout = Layout(Path(path if path is not None else default_store()).absolute())
    layout.check()
    deadline = Deadline(_PATIENCE)
    try:
        with only_one(layout, deadline):
            return fold_all(layout, deadline)
    except StoreBusy as busy:
        return IngestResult(skipped=str(busy))
    except (OSError, duckdb.Error) as error:  # a full disk, a folder that may not be written
        return IngestResult(skipped=f"cannot fold into {layout.root} now: {str(error).splitlines()[0]}")


def fold_all(layout: Layout, deadline: Deadline) -> IngestResult:
    """Fold everything; the caller holds the lock. StoreBusy past the deadline."""
    if layout.target.exists():
        return IngestResult(skipped=f"the segments of {layout.root} go to {layout.target.read_text().strip()}")
    layout.create()
    create_database(layout)
    migrate(layout, deadline)
    _sweep(layout)
    result = IngestResult()
    segments = list_segments(layout.spool)
    for start in range(0, len(segments), _AT_ONCE):
        part = segments[start : start + _AT_ONCE]
        with opened(layout.database, deadline, read_only=False) as connection:
            check_version(connection, layout)
            done = fold(connection, part)
        for segment in done.finished:
            segment.path.unlink(missing_ok=True)
        result = IngestResult(result.folded + done.folded, result.torn + done.torn)
    _keep_views(layout, deadline)
    return result


def create_database(layout: Layout) -> None:
    """Make an empty database where there is none; whoever sees the file sees it with its tables."""
    if layout.database.exists():
        return
    draft = layout.database.with_suffix(".new")
    new_database(draft)
    draft.rename(layout.database)
    fsync_folder(layout.root)


def new_database(draft: Path) -> None:
    """Make a database with empty tables at `draft`, in the format of the oldest DuckDB that we run on."""
    for left_over in (draft, draft.with_name(f"{draft.name}.wal")):
        left_over.unlink(missing_ok=True)
    with duckdb.connect(str(draft), config={"storage_compatibility_version": "v1.5.0"}) as connection:
        connection.execute(schema_sql())
        connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])


def _keep_views(layout: Layout, deadline: Deadline) -> None:
    """Make the all_<table> views anew when the store has moved or has new columns."""
    with opened(layout.database, deadline, read_only=True) as connection:
        if not views_outdated(connection, layout):
            return
    with opened(layout.database, deadline, read_only=False) as connection:
        make_views(connection, layout)


def _sweep(layout: Layout) -> None:
    """Remove drafts of writers that died long ago."""
    for draft in layout.spool.glob("*.tmp"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _STALE_DRAFT:
                draft.unlink()
