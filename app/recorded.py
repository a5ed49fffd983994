"""The recorded runs as a store in the user's cache folder: site-packages may be read-only, bundles are no store."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from depthscope.store import StoreMissing, default_store, import_bundle

__all__ = ["recorded_store"]


def recorded_store(bundles: Sequence[Path]) -> Path:
    """A store with the runs of `bundles`, built once for each set of them. Raises StoreMissing when there are none."""
    if not bundles:
        raise StoreMissing(
            f"expected a store at {default_store()}; there is none; train with watch(model) or `depthscope demo`"
        )
    target = cache_folder() / f"recorded-{digest(bundles)[:16]}"
    if target.is_dir():
        return target
    # Built beside its place and renamed: another process never sees half of it, and whoever is second discards theirs.
    building = Path(tempfile.mkdtemp(prefix="recorded-building-", dir=target.parent))
    try:
        for bundle in bundles:
            import_bundle(bundle, building)
        building.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def cache_folder() -> Path:
    """The user's cache folder for depthscope; a temporary one, kept for this boot, where that cannot be written."""
    folder = Path(platformdirs.user_cache_dir("depthscope", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    return folder if usable else Path(tempfile.mkdtemp(prefix="depthscope-"))


def digest(bundles: Sequence[Path]) -> str:
    """SHA-256 over names and contents of every file, in a fixed order."""
    total = hashlib.sha256()
    for bundle in sorted(bundles):
        for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
            total.update(f"{bundle.name}/{file.relative_to(bundle).as_posix()}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
