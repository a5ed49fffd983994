"""What is done in the background: folding in what waits, and compacting a database that has doubled since it was last
compacted.

    python -m depthscope.store.upkeep STORE

Many small ingests leave a database of twice the size that it has compacted. Compacting at each doubling keeps it below
that, at a cost that does not grow with the number of ingests. A large one is left to `depthscope compact`, which takes
minutes there, and `depthscope doctor` says when it is due.
"""

import os
import shutil
import sys
from pathlib import Path

from .compact import Compacted, compact
from .errors import DepthscopeError
from .ingest import ingest
from .layout import Layout

__all__ = ["compact_when_due", "has_doubled"]

_SMALLEST, _LARGEST = 16_000_000, 256_000_000  # bytes of a database that is compacted by itself
_PATIENCE = 1.0  # seconds; whoever holds the database goes first
_NICE = 10  # training goes first


def has_doubled(layout: Layout) -> bool:
    """Whether the database is worth compacting: twice as large as when that was last done, or never was."""
    try:
        size = layout.database.stat().st_size
    except OSError:
        return False
    return size >= max(_SMALLEST, 2 * _size_then(layout))


def compact_when_due(layout: Layout) -> Compacted | None:
    """Compact where that is due, quick, and in nobody's way; None where it was not done."""
    if not has_doubled(layout):
        return None
    size = layout.database.stat().st_size
    if size > _LARGEST or shutil.disk_usage(layout.root).free < 2 * size:
        return None
    try:
        return compact(layout.root, _PATIENCE)
    except DepthscopeError:  # somebody holds the database, or the disk is full: the next ingest comes back to it
        return None


def _size_then(layout: Layout) -> int:
    try:
        return int(layout.compacted.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def main(store: Path) -> str:
    """Do all of it; what to say of it."""
    done = ingest(store)
    if done.skipped:
        return done.skipped
    os.nice(_NICE)
    compacted = compact_when_due(Layout(store.absolute()))
    size = f", {compacted.before / 1e6:.0f} MB compacted to {compacted.after / 1e6:.0f} MB" if compacted else ""
    return f"{done.folded} segments folded, {len(done.torn)} torn{size}"


if __name__ == "__main__":
    try:
        print(main(Path(sys.argv[1])))
    except DepthscopeError as error:
        sys.exit(f"{error}")
