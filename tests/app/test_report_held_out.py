"""The report's sections of held-out measurements: there where something was measured, and only then."""

import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures.held_out import evaluated_steps
from depthscope.app.report import Wishes, build
from depthscope.app.report.contents import sections
from depthscope.app.report.held_out import DETAILED
from depthscope.app.report.snapshot import snapshot
from depthscope.app.report.tables import MOST
from depthscope.app.view import View
from depthscope.store import metric_sites

HELD_OUT = ("effectiveness", "sparsity")


@pytest.fixture(scope="module")
def report(five):
    return build(five, list(five.runs()["run"]), wishes=Wishes(sections=HELD_OUT))


def test_all_runs_are_compared_and_the_first_few_strategies_shown_one_by_one(report, five):
    effectiveness, sparsity = report.chapters
    names = [picture.title for picture in effectiveness.pictures]
    assert names[:2] == ["Loss without each block", "Share, effect and derivative of each block"]
    assert names.count("What each layer is worth") == names.count("Spans of blocks") == DETAILED
    assert [numbers.title for numbers in effectiveness.tables] == ["Effectiveness in numbers"]
    assert [numbers.title for numbers in sparsity.tables] == ["Dropping points"]
    assert effectiveness.absent == sparsity.absent == ()


def test_each_figure_tells_its_tokens_and_errors(report):
    first = report.chapters[0].pictures[0].about
    assert first.tokens == 16_384 and "paired" in first.uncertainty and first.runs == 5


def test_tables_of_heatmaps_have_a_row_a_row_and_stay_small(report):
    spans = next(picture for picture in report.chapters[0].pictures if picture.title == "Spans of blocks")
    assert spans.numbers.head[:3] == ("Quantity", "Length (blocks)", "First block of the span 1")
    assert len(spans.numbers.head) <= 2 + MOST and len(spans.numbers.rows) == 12
    layers = next(picture for picture in report.chapters[0].pictures if picture.title == "What each layer is worth")
    assert layers.numbers.head == ("Layer", "skipped", "repeated", "attention zeroed", "MLP zeroed")
    assert layers.numbers.rows[0][1].endswith(" ± 0.001")


def test_runs_that_were_never_evaluated_have_no_such_section(tmp_path):
    bare = make_store(tmp_path / "store", ["pre"], layers=2, steps=2)
    sites, evaluated = metric_sites(bare, ["pre-0"]), evaluated_steps(bare, View(runs=("pre-0",)))
    assert not {part.name for part in sections(("pre-0",), sites, evaluated, ("pre-0",))} & set(HELD_OUT)


def test_a_report_on_a_growing_store_is_of_one_moment(tmp_path):
    runs = [SyntheticRun("now", "pre", status="running")]
    store = make_store(tmp_path / "store", runs, layers=2, steps=3)
    told = []

    def grow(done: int, total: int) -> None:
        if not told:  # between the first figure and the others another run comes in
            make_store(store.path, [SyntheticRun("later", "post", status="running")], layers=2, steps=3)
        told.append(total)

    report = build(store, ["now"], grow, Wishes(sections=("loss", "comparison")))
    assert [facts.run for facts in report.runs] == ["now"] and report.store == "store"
    assert all(picture.about.runs == 1 for chapter in report.chapters for picture in chapter.pictures)
    with snapshot(store, ["now"]) as still:
        make_store(store.path, [SyntheticRun("last", "post")], layers=2, steps=3)
        assert still.path != store.path and list(still.runs()["run"]) == ["now"]
        copy = still.path
    assert not copy.exists()
    with snapshot(store, ["last"]) as still:
        assert still is store
