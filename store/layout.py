"""Where things lie inside a store folder.

A file name never carries a name that a user chose: runs are known by the hash of their name and by attempt identifiers.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .errors import DepthscopeError, NotAStore, StoreMissing

__all__ = ["SENTINEL", "Layout", "Segment", "default_store", "fsync_folder", "list_segments"]

SENTINEL = "0-sentinel.parquet"
_SEGMENT = re.compile(r"([0-9A-Z]{26})-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True)
class Layout:
    """The paths of one store."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "depthscope.duckdb"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def claims(self) -> Path:
        return self.root / "claims"

    @property
    def lock(self) -> Path:
        return self.root / "ingest.lock"

    @property
    def target(self) -> Path:
        """Names the database elsewhere that this store's segments go to, where there is one."""
        return self.root / "target"

    @property
    def compacted(self) -> Path:
        """Holds the size in bytes that the database had when it was last compacted."""
        return self.root / "compacted"

    def create(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.spool, self.claims):
            folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raise StoreMissing where there is nothing and NotAStore where there is something else."""
        if not self.root.exists():
            if any(scheme in str(self.root) for scheme in ("ducklake:", "quack:")):
                raise NotAStore(
                    "expected the folder of a store, got the URL of a target, which is only read; remove, rename and "
                    "import runs in a store before it is delivered"
                )
            raise StoreMissing(
                f"expected a store at {self.root}, found nothing; train with watch() or pass another --store"
            )
        if not (self.database.is_file() or self.spool.is_dir()):
            raise NotAStore(
                f"expected a store at {self.root}, found neither depthscope.duckdb nor spool/; pass another --store"
            )

    def check_own(self) -> None:
        """As `check`, and raise DepthscopeError where the rows of this store are in a database elsewhere."""
        self.check()
        if self.target.exists():
            elsewhere = self.target.read_text(encoding="utf-8").strip()
            raise DepthscopeError(
                f"expected a store with rows of its own, the segments of {self.root} go to {elsewhere}"
            )


class Segment(NamedTuple):
    """One file of the spool, of which (attempt, rank) write numbers 0, 1, 2, ..."""

    attempt: str
    rank: int
    seq: int
    path: Path


def default_store() -> Path:
    """`$DEPTHSCOPE_STORE`, else `./depthscope-runs`."""
    return Path(os.environ.get("DEPTHSCOPE_STORE") or "depthscope-runs")


def list_segments(spool: Path) -> list[Segment]:
    """The complete segments in the spool, in the order in which each writer wrote them.

    A folder listing is not a snapshot: it may show segment 5 and miss segment 4, written a moment before. Hence two
    listings: whatever was written before a segment that the first one shows is there when the second one starts.
    """
    newest: dict[tuple[str, int], int] = {}
    for segment in _listing(spool):
        writer = (segment.attempt, segment.rank)
        newest[writer] = max(segment.seq, newest.get(writer, -1))
    return sorted(s for s in _listing(spool) if s.seq <= newest.get((s.attempt, s.rank), -1))


def _listing(spool: Path) -> Iterable[Segment]:
    try:
        names = [path.name for path in spool.iterdir()]
    except FileNotFoundError:
        return
    for name in names:
        if found := _SEGMENT.fullmatch(name):
            yield Segment(found[1], int(found[2]), int(found[3]), spool / name)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
