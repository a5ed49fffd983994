"""Runs recorded beforehand, as bundles: what the dashboard shows before anything was trained here. Needs no torch."""

from pathlib import Path

__all__ = ["recorded_bundles"]


def recorded_bundles(folder: Path = Path(__file__).parent) -> list[Path]:
    """The folders to give to `depthscope.store.import_bundle`, in the order they are to be shown; read only."""
    return sorted(path for path in folder.iterdir() if any(path.glob("*.parquet")))
