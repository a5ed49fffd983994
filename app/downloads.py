"""What the report page hands out, made when it is asked for: a report, or runs as a zipped folder."""

import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from depthscope.store import Store, export_runs

from .exporters.csv import export_csv
from .report import Wishes, build, render
from .report.rolled_up import rolled_up

__all__ = ["csv_zip", "html_report", "json_report", "parquet_zip"]

FIRST_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip knows: the same runs give the same bytes."""


def html_report(store: Store, runs: Sequence[str], wishes: Wishes) -> bytes:
    """The report as `depthscope report` writes it. Raises what the store raises."""
    return render(build(store, runs, wishes=wishes), wishes.template).encode("utf-8")


def json_report(store: Store, runs: Sequence[str], wishes: Wishes) -> bytes:
    """The same for programs."""
    return rolled_up(build(store, runs, wishes=wishes)).encode("utf-8")


def csv_zip(store: Store, runs: Sequence[str]) -> bytes:
    """Every table of the runs as CSV."""
    return _zipped(lambda folder: export_csv(store, runs, folder))


def parquet_zip(store: Store, runs: Sequence[str]) -> bytes:
    """A bundle that `depthscope import` reads once it is unpacked."""
    return _zipped(lambda folder: export_runs(store, runs, folder))


def _zipped(write: Callable[[Path], object]) -> bytes:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="depthscope-") as place:
        folder = Path(place) / "depthscope-runs"
        write(folder)
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(str(file.relative_to(folder.parent)), FIRST_TIME)
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()
