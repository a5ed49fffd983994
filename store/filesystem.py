"""Where locks cannot be relied on: a database there would break sooner or later, so it is refused.

DuckDB's lock and ours are advisory locks of the file system, which NFS and SMB keep for one machine, or for none.
Segments need no lock: the spool may lie there.
"""

import re
from pathlib import Path

from .errors import NetworkFileSystem

__all__ = ["MOUNTS", "network_kind", "refuse_network"]

MOUNTS = Path("/proc/mounts")
_NETWORK = {"nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "sshfs", "afs", "ncpfs", "9p", "davfs"}


def refuse_network(path: Path, what: str) -> None:
    """Raise NetworkFileSystem where `path` lies on one; `what` is what was to be kept there."""
    kind = network_kind(path)
    if kind is not None:
        raise NetworkFileSystem(
            f"expected {what} on a local disk, {path.parent} is on {kind}, whose locks do not hold; keep segments "
            f"there and fold them elsewhere: depthscope ingest {path.parent} --to LOCAL_FOLDER --follow"
        )


def network_kind(path: Path) -> str | None:
    """The type of the network file system that `path` lies on; None for a local one, and where nobody knows."""
    try:
        table = MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    place = _existing(path)
    best = ("", "")
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), fields[1])
        # Of mounts on one place the last one counts.
        if place.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, fields[2])
    return best[1] if best[1] in _NETWORK else None


def _existing(path: Path) -> Path:
    try:
        return path.resolve()
    except OSError:
        return path.absolute()
