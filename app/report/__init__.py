"""The report: one self-contained HTML file with the findings, every figure, its numbers, and the definitions."""

from .build import Report, build
from .render import render
from .write import NotWritable, write_report

__all__ = ["NotWritable", "Report", "build", "render", "write_report"]
