"""Text that every machine has: the source of Python's own standard library, as bytes.

The rule, so that the same Python always gives the same bytes:
- every `*.py` file below `sysconfig`'s `stdlib` folder, in the order of its path, with a zero byte after each;
- without the folders named in SKIPPED: tests, what distributions ship separately, long tables, installed packages;
- without `_sysconfigdata*.py`, which hold the paths and compiler flags of one build;
- the packages of HELD_OUT are never trained on; all others are, up to LIMIT bytes of each split.

Versions of Python differ in their library: `data_id` is the hash of both splits, and runs of different hashes were
trained on different text.
"""

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from depthscope.store import DepthscopeError

__all__ = ["HELD_OUT", "Corpus", "load_corpus"]

HELD_OUT = frozenset({"email", "http", "json", "logging", "urllib"})
SKIPPED = frozenset(
    {
        *("test", "tests", "__pycache__", "__phello__", "site-packages", "dist-packages"),
        *("distutils", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtledemo", "venv"),
        *("encodings", "pydoc_data"),
    }
)
LIMIT = 8 * 2**20
LEAST = 2**16  # of each split: below this the source was stripped from the installation


@dataclass(frozen=True)
class Corpus:
    """Bytes to train on and bytes never trained on; `data_id` is the SHA-256 of both."""

    train: bytes
    held_out: bytes
    data_id: str


def load_corpus(root: Path | None = None) -> Corpus:
    """The standard library's source, or that of another folder laid out like it; takes well under a second.

    Raises DepthscopeError where the source is absent, as in installations that ship compiled files only.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    train, held_out = bytearray(), bytearray()
    for path in sources(root):
        package = path.relative_to(root).parts[0]
        split = held_out if package in HELD_OUT else train
        if len(split) < LIMIT:
            split += path.read_bytes() + b"\0"
    if min(len(train), len(held_out)) < LEAST:
        raise DepthscopeError(
            f"expected Python's standard library as source in {root}, but found {len(train) + len(held_out)} bytes: "
            "use a Python that ships its .py files"
        )
    splits = bytes(train[:LIMIT]), bytes(held_out[:LIMIT])
    return Corpus(*splits, data_id=sha256(sha256(splits[0]).digest() + sha256(splits[1]).digest()).hexdigest())


def sources(root: Path) -> Iterator[Path]:
    """The files of the corpus, in an order that does not depend on the file system."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED and not name.startswith("config-")]
        found += [
            Path(folder, name) for name in files if name.endswith(".py") and not name.startswith("_sysconfigdata")
        ]
    return iter(sorted(found, key=lambda path: path.relative_to(root).parts))
