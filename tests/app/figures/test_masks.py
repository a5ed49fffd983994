"""Masks of sparse training: a panel a scalar in percent, and the mean of the active parameters in words."""

import pandas as pd
import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures import FIGURES
from depthscope.app.figures.held_out import evaluated_steps
from depthscope.app.figures.masks import masks_info
from depthscope.app.report import build
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

VIEW = View(runs=("ast", "dense"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    runs = [SyntheticRun("ast", "pre", masked=True), SyntheticRun("dense", "pre")]
    return make_store(tmp_path_factory.mktemp("masks") / "store", runs, layers=2, steps=5)


def scalars(name, values, run="a", average=float("nan")):
    places = range(0, 10 * len(values), 10)
    frame = pd.DataFrame({"step": places, "x": places, "low": values, "high": values, "last": values})
    return frame.assign(run=run, strategy="pre", nonfinite=0, scalar=name, average=average)


def test_a_panel_shows_one_scalar_in_percent():
    frame = pd.concat([scalars("mask_density", [1.0, 0.25]), scalars("mask_flip_rate", [0.0, 0.75])])
    info = masks_info(frame, View(runs=("a",)))
    assert [panel.y_title for panel in info.panels] == ["Active weights (%)", "Mask flipped since the last sample (%)"]
    assert [panel.lines[0].y for panel in info.panels] == [(100.0, 25.0), (0.0, 75.0)]
    assert info.panels[0].x_title == "Optimizer step" and info.note == ""


def test_the_note_says_what_takes_the_place_of_the_parameter_count():
    frame = pd.concat([scalars("mask_density", [1.0], "a", 1234.4), scalars("mask_density", [1.0], "b", 99.0)])
    info = masks_info(frame, View(runs=("b", "a")))
    assert info.note == "Active parameters, mean over training: b 99; a 1,234."


def test_a_masked_run_of_a_store_is_drawn_and_a_dense_one_is_not(store):
    record = FIGURES["masks"].record(store, VIEW)
    assert [[line.label for line in panel.lines] for panel in record.panels] == [["ast"]] * 3
    assert record.panels[0].lines[0].y == pytest.approx((100.0, 80.0, 60.0, 50.0, 50.0))
    # Steps 0, 10, ..., 40: the mean of 1, 0.8, 0.6, 0.5, 0.5 of all 98,304 along the lines between them.
    assert record.note == "Active parameters, mean over training: ast 65,126."
    drawn = FIGURES["masks"].draw(record, LIGHT)
    assert [trace.name for trace in drawn.data] == ["ast"] * 3
    table = FIGURES["masks"].table(record)
    assert list(table.columns[:3]) == ["run", "strategy", "Optimizer step"] and len(table) == 5


def test_dense_runs_say_so(store):
    record = FIGURES["masks"].record(store, View(runs=("dense",)))
    assert record.empty and not FIGURES["masks"].draw(record, LIGHT).data
    assert FIGURES["masks"].alt(record) == "Masks of sparse training: nothing to show yet."


def test_masks_have_a_section_in_the_report_where_there_are_any(store):
    assert set(evaluated_steps(store, VIEW)["table"]) == {"masks"}
    masked, dense = (
        {chapter.section.name: chapter for chapter in build(store, [run]).chapters} for run in ("ast", "dense")
    )
    assert [picture.title for picture in masked["masks"].pictures] == ["Masks over training"]
    assert "masks" not in dense
