"""The report for programs: the same content as JSON, without pictures."""

from dataclasses import asdict
from typing import Any

from ..commands.output import to_json
from .build import Chapter, Picture, Report
from .tables import Sheet

__all__ = ["FORMAT", "rolled_up"]

FORMAT = 1
"""Version of the JSON; raised when a field changes its meaning."""


def rolled_up(report: Report) -> str:
    """Everything a report says as JSON; tables are {"head", "rows"} of text, as they are printed."""
    return to_json(
        {
            "format": FORMAT,
            "depthscope": report.version,
            "store": report.store,
            "omitted_runs": report.omitted,
            "caveats": report.caveats,
            "notes": report.notes,
            "runs": [
                {
                    "run": run.run,
                    "strategy": run.strategy,
                    **{name.lower(): text for name, text in run.facts.items()},
                    "findings": [asdict(each) for each in run.findings],
                }
                for run in report.runs
            ],
            "sections": [section(chapter) for chapter in report.chapters],
            "settings": {title: table(sheet) for title, sheet in report.settings.items()},
            "definitions": report.metrics,
            "papers": [f"https://arxiv.org/abs/{number}" for number in report.papers],
        }
    )


def section(chapter: Chapter) -> dict[str, Any]:
    return {
        "name": chapter.section.name,
        "title": chapter.section.title,
        "figures": [figure(picture) for picture in chapter.pictures],
        "tables": [{"title": each.title, "note": each.note, **table(each.numbers)} for each in chapter.tables],
        "not_measured": chapter.absent,
    }


def figure(picture: Picture) -> dict[str, Any]:
    return {
        "title": picture.subtitle or picture.title,
        "caption": picture.caption,
        "note": picture.note,
        **asdict(picture.about),
        **table(picture.numbers),
    }


def table(sheet: Sheet) -> dict[str, Any]:
    return {"head": sheet.head, "rows": sheet.rows}
