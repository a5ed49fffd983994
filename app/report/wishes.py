"""What a user may choose about a report: its sections, notes of one's own, a template, thresholds."""

from dataclasses import dataclass
from pathlib import Path

from depthscope.store import DepthscopeError

from ..findings import THRESHOLDS, Thresholds
from ..text import plain

__all__ = ["SECTIONS", "UnknownSection", "UnreadableFile", "Wishes", "read_text"]

SECTIONS = (
    "findings",
    "notes",
    "loss",
    "comparison",
    "profiles",
    "heatmaps",
    "massive",
    "effectiveness",
    "sparsity",
    "masks",
    "more",
    "settings",
    "definitions",
    "papers",
)
"""Every section, in the order of a report."""


class UnknownSection(DepthscopeError):
    """A report has no such section."""


class UnreadableFile(DepthscopeError):
    """A file of notes or a template cannot be read."""


@dataclass(frozen=True)
class Wishes:
    """How a report shall be. Raises UnknownSection."""

    sections: tuple[str, ...] = SECTIONS
    notes: str = ""
    """Markdown."""
    template: str = ""
    """Jinja2, in place of the report's own; it may extend 'report.html.j2'."""
    limits: Thresholds = THRESHOLDS

    def __post_init__(self) -> None:
        for name in self.sections:
            if name not in SECTIONS:
                raise UnknownSection(f"expected a section among {', '.join(SECTIONS)}; got {plain(name)!r}")


def read_text(path: Path) -> str:
    """A small text file. Raises UnreadableFile."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UnreadableFile(f"expected a text file at {path}; got: {why}") from None
