"""Writing a report: built in full first, then put in place in one step, so that a failure leaves the old file alone."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from depthscope.store import DepthscopeError, Store

from .build import Progress, build, ignore
from .render import render
from .rolled_up import rolled_up
from .wishes import Wishes

__all__ = ["NotWritable", "write_report"]


class NotWritable(DepthscopeError):
    """The file cannot be written there."""


def write_report(
    store: Store, runs: Sequence[str], output: Path, progress: Progress = ignore, wishes: Wishes | None = None
) -> None:
    """Write the report on `runs` to `output`, as JSON where it ends in .json, else as HTML.

    Raises NotWritable, BadTemplate, and what the store raises; writes nothing then. `progress` is told how many figures
    are done, of how many.
    """
    wishes = wishes or Wishes()
    if output.is_dir():
        raise NotWritable(f"expected a file name; got the folder {output}; try -o {output / 'report.html'}")
    if not output.absolute().parent.is_dir():
        raise NotWritable(
            f"expected a file in an existing folder; there is no {output.absolute().parent}; make it first"
        )
    report = build(store, runs, progress, wishes)
    text = rolled_up(report) if output.suffix.lower() == ".json" else render(report, wishes.template)
    try:
        replace(output, text.encode("utf-8"))
    except OSError as error:
        raise NotWritable(f"cannot write {output}: {error.strerror}; choose another place with -o") from None


def replace(output: Path, content: bytes) -> None:
    """Put `content` at `output` in one step; what was there keeps its permissions."""
    handle, name = tempfile.mkstemp(prefix=".depthscope-", dir=output.absolute().parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(output.stat().st_mode & 0o777 if output.exists() else 0o666 & ~umask)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
