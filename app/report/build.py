"""From a store to everything a report says, as plain records: nothing here knows HTML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from itertools import count
from typing import Any

import pandas as pd

from depthscope.store import Store, metric_sites, run_table

from ..figures import FIGURES, TABLES, comparison_caveats
from ..figures.held_out import evaluated_steps
from ..findings import FINDINGS, Finding, diagnose_runs
from ..losses import last_loss
from ..text import plain, short
from ..theme import LIGHT, strategy_style
from ..view import View
from .about import About, Definition, about, command
from .contents import rank, sections
from .papers import papers_in
from .section import Place, Section
from .settings import flat, read, settings_sheets
from .snapshot import snapshot
from .tables import Sheet, cell, sheet
from .thin import thin
from .wishes import Wishes

__all__ = ["Chapter", "Picture", "Progress", "Report", "RunFacts", "build", "ignore"]

# Buckets of steps that are kept: of a line, of a heatmap (which has as many rows as layers), of the table below either.
LINE_POINTS, HEATMAP_POINTS, TABLE_POINTS = 200, 40, 10


Progress = Callable[[int, int], None]


def ignore(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Picture:
    """A figure, ready to draw, and its numbers."""

    id: str
    title: str
    subtitle: str
    caption: str
    note: str
    alt: str
    json: str
    """Plotly's figure as JSON without '<', '>' or '&': safe inside a script element."""
    height: int
    numbers: Sheet
    about: About


@dataclass(frozen=True)
class Numbers:
    """A table that stands by itself."""

    title: str
    caption: str
    note: str
    numbers: Sheet


@dataclass(frozen=True)
class Chapter:
    """A section with what could be drawn, and the titles of what had no values."""

    section: Section
    pictures: tuple[Picture, ...]
    tables: tuple[Numbers, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class RunFacts:
    """One run: its line in the list of runs and its findings."""

    run: str
    strategy: str
    colour: str
    facts: Mapping[str, str]
    findings: tuple[Finding, ...]

    @property
    def said(self) -> tuple[Finding, ...]:
        """What is shown at once: everything that is not plainly in order, or else what was checked."""
        return tuple(each for each in self.findings if each.severity != "ok" or each.name == "healthy")

    @property
    def passed(self) -> tuple[Finding, ...]:
        """The rest."""
        return tuple(each for each in self.findings if each not in self.said)


@dataclass(frozen=True)
class Report:
    """Everything a report says."""

    version: str
    store: str
    runs: tuple[RunFacts, ...]
    omitted: int
    """Runs of the store that the report leaves out."""
    caveats: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    settings: Mapping[str, Sheet] = field(default_factory=dict)
    metrics: tuple[Mapping[str, str], ...] = ()
    papers: tuple[str, ...] = ()
    """arXiv numbers of the papers that findings and definitions name, ascending."""
    notes: str = ""
    """The user's own, in Markdown."""
    sections: tuple[str, ...] = ()
    """Of SECTIONS, those that are shown."""


def build(store: Store, runs: Sequence[str], progress: Progress = ignore, wishes: Wishes | None = None) -> Report:
    """The report on `runs`; `progress` is told (done, all) after each figure. Raises RunMissing for an unknown name."""
    with snapshot(store, runs) as still, still.one_look():
        return build_from(still, store, runs, progress, wishes or Wishes())


def build_from(still: Store, store: Store, runs: Sequence[str], progress: Progress, wishes: Wishes) -> Report:
    """The report on what `still` holds, which is `store` or a copy of the runs in it."""
    findings = diagnose_runs(still, runs, wishes.limits)
    every, table = run_table(store), run_table(still)
    chosen = table.set_index("run", drop=False).loc[list(runs)]
    measured = metric_sites(still, list(runs)), evaluated_steps(still, View(runs=tuple(runs)))
    detailed = tuple(chosen.drop_duplicates("strategy")["run"])
    parts = [part for part in sections(tuple(runs), *measured, detailed) if part.name in wishes.sections]
    metrics = tuple(sorted(map(definition, still.metrics().to_dict("records")), key=lambda row: rank(row["name"])))
    defined = {row["name"]: Definition(row["formula"], row["reduction"]) for row in metrics}
    desk = Desk(still, store.path.name, chosen, defined, runs if len(every) > len(chosen) else ())
    drawn = count(1)
    total = sum(len(part.places) for part in parts)
    said = tuple(facts(row, findings[str(row["run"])]) for row in chosen.to_dict("records"))
    return Report(
        version=version("depthscope"),
        store=store.path.name,
        runs=said,
        omitted=len(every) - len(chosen),
        caveats=comparison_caveats(chosen),
        chapters=tuple(
            chapter(desk, part, index, lambda: progress(next(drawn), total)) for index, part in enumerate(parts)
        ),
        settings={"Runs": run_sheet(chosen)} | settings_sheets(chosen),
        metrics=metrics,
        papers=papers_in(words(said, metrics)),
        notes=wishes.notes,
        sections=wishes.sections,
    )


@dataclass(frozen=True)
class Desk:
    """What every figure is drawn with."""

    store: Store
    name: str
    """Of the store, to be named in a command."""
    table: pd.DataFrame
    """The rows of run_table of the runs reported on."""
    defined: Mapping[str, Definition]
    """The metrics, by name."""
    runs: Sequence[str]
    """To be named in a command; empty when they are all of the store's."""


def words(runs: Sequence[RunFacts], metrics: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Every text that may name a paper."""
    yield from (check.source for check in FINDINGS.values())
    yield from (f"{finding.advice} {finding.rule}" for run in runs for finding in run.findings)
    yield from (row["source"] for row in metrics)


def facts(row: Mapping[Any, Any], findings: Sequence[Finding]) -> RunFacts:
    """What the list of runs says of one run; `row` is a row of run_table."""
    strategy = row["strategy"] if isinstance(row["strategy"], str) and row["strategy"] else "unknown"
    shown = {"Status": str(row["status"]), "Step": fact(row["last_step"]), "Loss": cell(last_loss(row))}
    return RunFacts(str(row["run"]), strategy, strategy_style(strategy).colour, shown, tuple(findings))


def run_sheet(runs: pd.DataFrame) -> Sheet:
    """Size, data and times of each run, one row a run."""
    columns = {
        "Blocks": "n_layers",
        "Parameters": "n_params",
        "Tokens": "tokens",
        "Seed": "seed",
        "Data": "data_id",
        "NaN or Inf": "nonfinite",
        "Started (UTC)": "started_at",
        "Model": "model",
    }
    rows = [
        (cell(row["run"]), *(fact(row[name]) for name in columns.values()), commit(row["environment"]))
        for row in runs.to_dict("records")
    ]
    return Sheet(("Run", *columns, "Commit"), tuple(rows))


def commit(environment: object) -> str:
    """The git commit that a run was started from, its first 12 digits; '' where it is not known."""
    return short(flat(read(environment)).get("git_commit", ""), 12)


def fact(value: Any) -> str:
    """A cell of run_table: missing is NaN or NaT there, integers became floats where some run has none."""
    if pd.isna(value):
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return short(value, 24) if isinstance(value, str) else f"{value:,.0f}"


def chapter(desk: Desk, section: Section, index: int, done: Callable[[], None]) -> Chapter:
    """The section with its pictures drawn, `done` called after each; what has no values is only named."""
    pictures, absent = [], []
    for number, place in enumerate(section.places):
        drawn = picture(desk, place, f"figure-{index}-{number}", section.name)
        absent.append(place.subtitle or FIGURES[place.name].title) if drawn is None else pictures.append(drawn)
        done()
    tables = [numbers for place in section.tables if (numbers := numbers_of(desk.store, place))]
    return Chapter(section, tuple(pictures), tuple(tables), tuple(absent))


def picture(desk: Desk, place: Place, identity: str, section: str) -> Picture | None:
    """The figure of one place, drawn, with its numbers; None when there is nothing to draw."""
    figure = FIGURES[place.name]
    frame = figure.query(desk.store, place.view.keep(figure.reads))
    points = HEATMAP_POINTS if "layer" in frame.columns else LINE_POINTS
    record = figure.info(thin(frame, points), place.view)
    if record.empty:
        return None
    drawn = figure.draw(record, LIGHT)
    return Picture(
        id=identity,
        title=figure.title,
        subtitle=place.subtitle,
        caption=figure.caption,
        note=record.note,
        alt=figure.alt(record),
        json=safe_json(drawn.to_json(engine="json", remove_uids=True)),
        height=int(drawn.layout.height or LIGHT.template.layout.height),
        numbers=sheet(figure.table(figure.info(thin(frame, TABLE_POINTS), place.view))),
        about=about(
            of_runs(frame, place.view),
            desk.table,
            desk.defined.get(place.view.metric or "", Definition()) if "metric" in figure.reads else Definition(),
            command(plain(desk.name), desk.runs, section),
        ),
    )


def of_runs(frame: pd.DataFrame, view: View) -> pd.DataFrame:
    """The rows with their run, which a figure of one run need not name."""
    return frame if "run" in frame.columns or not view.run else frame.assign(run=view.run)


def safe_json(text: str | None) -> str:
    """JSON with nothing in it that could end a script element or start a comment in one."""
    return (text or "null").replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def numbers_of(store: Store, place: Place) -> Numbers | None:
    """The table of one place; None when it has no rows."""
    table = TABLES[place.name]
    record = table.record(store, place.view)
    return None if record.empty else Numbers(table.title, table.caption, record.note, sheet(table.table(record)))


def definition(row: Mapping[Any, Any]) -> Mapping[str, str]:
    """A row of the metrics table, missing words left empty."""
    return {name: cell(row.get(name)) for name in ("name", "title", "unit", "formula", "reduction", "source")}
