"""The report: one self-contained HTML file with the findings, every figure, its numbers, and the definitions."""

from .build import Report, build
from .render import BadTemplate, render
from .wishes import SECTIONS, UnknownSection, Wishes, read_text
from .write import NotWritable, write_report

__all__ = [
    "SECTIONS",
    "BadTemplate",
    "NotWritable",
    "Report",
    "UnknownSection",
    "Wishes",
    "build",
    "read_text",
    "render",
    "write_report",
]
