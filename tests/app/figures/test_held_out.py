"""Figures of the held-out measurements: noise is never drawn as a signal, and one huge layer hides no other."""

import math

import numpy as np
import pandas as pd
import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures import FIGURES, TABLES
from depthscope.app.figures.held_out import evaluated_steps, is_signal
from depthscope.app.figures.layer_cost import layer_cost_figure, layer_cost_info
from depthscope.app.figures.pruning_curve import pruning_curve_info
from depthscope.app.figures.skip_cost import skip_cost_figure, skip_cost_info
from depthscope.app.figures.skip_over_time import skip_over_time_info
from depthscope.app.figures.spans import spans_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

NAMES = ("skip_cost", "layer_cost", "layer_measures", "spans", "pruning_curve", "later_effects", "skip_over_time")
VIEW = View(runs=("r",))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    runs = [SyntheticRun("pre-0", "pre"), SyntheticRun("post-0", "post")]
    return make_store(tmp_path_factory.mktemp("evaluated") / "store", runs, layers=6, steps=9, evaluated=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bare") / "store", ["pre"], layers=2, steps=2)


def rows(*values: tuple, **fixed) -> pd.DataFrame:
    """Interventions of run r at step 5: (layer, delta, delta_se)."""
    frame = pd.DataFrame(values, columns=["layer", "delta", "delta_se"])
    usual = {"run": "r", "strategy": "pre", "step": 5, "span": 1, "site": "block", "action": "skip", "tokens": 4096}
    return frame.assign(**(usual | fixed))


@pytest.mark.parametrize(
    ("delta", "error", "signal"),
    [(0.021, 0.01, True), (-0.021, 0.01, True), (0.02, 0.01, False), (0.5, math.nan, False), (math.nan, 0.1, False)],
)
def test_a_signal_exceeds_two_standard_errors(delta, error, signal):
    assert is_signal(delta, error) is signal


def test_noise_is_hollow_and_signals_are_filled():
    info = layer_cost_info(rows((1, 0.05, 0.001), (2, 0.001, 0.001), (3, -0.004, 0.001)), VIEW)
    (cost,) = info.every
    assert cost.signals == (True, False, True)
    bars = layer_cost_figure(info, LIGHT).data[0]
    filled = [str(colour).startswith("#") for colour in bars.marker.color]
    assert filled == [True, False, True]
    assert list(bars.error_y.array) == [0.002] * 3
    assert "two standard errors" in info.note and "4,096 held-out tokens at step 5." in info.note


def test_the_legend_shows_the_colour_of_bars_though_the_first_is_hollow():
    info = layer_cost_info(rows((1, 0.001, 0.001), (2, 0.05, 0.001)), VIEW)
    bars, key = layer_cost_figure(info, LIGHT).data
    assert bars.marker.color[0] != bars.marker.color[1] == key.marker.color
    assert key.showlegend is not False and bars.showlegend is False and key.name == bars.name == "skipped"
    assert key.legendgroup == bars.legendgroup, "a click on one hides the other"


def test_a_huge_first_layer_leaves_the_axis_and_is_told():
    info = layer_cost_info(rows((1, 1.9, 0.01), (2, 0.01, 0.001), (3, 0.02, 0.001)), VIEW)
    assert info.y_range is not None and info.y_range[1] < 0.05
    figure = layer_cost_figure(info, LIGHT)
    assert any(note.text == "↑ skipped +1.9" for note in figure.layout.annotations)
    assert "carry their value" in info.note


def test_a_loss_that_is_no_number_is_marked_in_red():
    info = layer_cost_info(rows((1, 0.1, 0.01), (2, math.nan, math.nan)), VIEW)
    assert "1 difference is NaN or Inf." in info.note
    marks = [trace for trace in layer_cost_figure(info, LIGHT).data if trace.name == "NaN or Inf"]
    assert [list(mark.x) for mark in marks] == [[2]]


def test_lines_of_runs_have_hollow_markers_where_there_is_noise():
    info = skip_cost_info(rows((1, 0.05, 0.001), (2, 0.001, 0.001), (3, 0.2, math.nan)), VIEW)
    (line,) = skip_cost_figure(info, LIGHT).data
    assert list(line.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert list(line.error_y.array) == pytest.approx([0.002, 0.002, 0.0])
    table = FIGURES["skip_cost"].table(info)
    assert table["Standard error"].tolist()[:2] == pytest.approx([0.001, 0.001])
    assert math.isnan(table["Standard error"].iloc[2])


def test_spans_keep_noise_out_of_the_colours():
    loss = pd.DataFrame(
        [(1, 1, 0.5, 0.01), (2, 1, 0.001, 0.01), (3, 1, 0.3, 0.01), (1, 2, 0.9, 0.01), (2, 2, -0.2, 0.01)],
        columns=["layer", "span", "value", "error"],
    ).assign(run="r", step=5, kind="loss", tokens=100)
    info = spans_info(loss, View(runs=("r",), scale="log"))
    (grid,) = info.grids
    assert grid.values == ((0.5, 0.001, 0.3), (0.9, -0.2, None))
    assert grid.noise == ((False, True, False), (False, False, False))
    assert grid.marked == ((2, 1), (2, 2)) and grid.log
    coloured, grey, falling, dots = FIGURES["spans"].draw(info, LIGHT).data
    assert np.isnan(coloured.z[0][1]) and np.isnan(coloured.z[1][1])
    assert grey.z[0][1] == 1 and falling.z[1][1] == 1
    assert list(dots.x) == [2, 2]
    assert "1 grey cell is within two standard errors." in info.note


def test_an_evaluation_of_single_blocks_does_not_hide_older_spans(store):
    frame = FIGURES["spans"].query(store, View(runs=("pre-0",), step=79))
    assert set(frame["step"]) == {40} and set(frame["kind"]) == {"loss", "angle"}
    assert set(frame.loc[frame["kind"] == "loss", "span"]) == set(range(1, 7))


def test_pairs_of_blocks(store):
    info = FIGURES["later_effects"].record(store, View(runs=("pre-0",)))
    (grid,) = info.grids
    assert (grid.x, grid.y) == (tuple(range(1, 6)), tuple(range(2, 7)))
    assert grid.values[0] == (0.5, None, None, None, None) and grid.values[4][0] == pytest.approx(0.1)


def test_single_blocks_are_no_picture_of_spans():
    loss = pd.DataFrame({"layer": [1, 2], "span": 1, "value": 0.1, "error": 0.01}).assign(
        run="r", step=5, kind="loss", tokens=1
    )
    assert spans_info(loss, VIEW).empty


def test_a_pruning_curve_starts_at_nothing_removed_and_joins_random_draws():
    frame = rows((None, 0.1, 0.01), (None, 0.3, 0.01), site="random", action="prune_set", span=2)
    (line,) = pruning_curve_info(frame, VIEW).lines
    assert (line.label, line.x) == ("random blocks", (0.0, 2.0))
    assert line.y == pytest.approx((0.0, 0.2))
    assert (line.low[1], line.high[1]) == pytest.approx((0.08, 0.32))


def test_rankings_of_other_programs_keep_their_names():
    frame = rows((None, 0.1, 0.01), site="<b>own</b>", action="prune_set", span=2)
    info = pruning_curve_info(frame, VIEW)
    figure = FIGURES["pruning_curve"].draw(info, LIGHT)
    assert [trace.name for trace in figure.data if trace.mode == "lines+markers"] == ["&lt;b&gt;own&lt;/b&gt;"]


def test_over_time_noise_is_blank_and_one_evaluation_is_no_history():
    first = rows((1, 0.5, 0.01), (2, 0.001, 0.01)).assign(x=5)
    later = rows((1, 0.7, 0.01), (2, 0.2, 0.01), step=9).assign(x=9)
    info = skip_over_time_info(pd.concat([first, later]), VIEW)
    assert info.values == ((0.5, 0.7), (None, 0.2))
    assert info.steps == (5, 9) and "1 blank cell is within" in info.note
    assert skip_over_time_info(first, VIEW).empty


def test_each_action_counts_at_its_newest_evaluation(store):
    view = View(runs=("pre-0",), step=50)
    frame = FIGURES["layer_cost"].query(store, view)
    assert set(frame["step"]) == {40}
    assert set(frame["action"]) == {"skip", "repeat", "zero"}
    assert set(FIGURES["layer_cost"].query(store, View(runs=("pre-0",)))["step"]) == {80}
    assert sorted(set(evaluated_steps(store, view)["step"])) == [0, 40, 80]


@pytest.mark.parametrize(("name", "x"), [*((name, "step") for name in NAMES), ("skip_over_time", "tokens")])
def test_every_figure_draws_what_a_store_holds(store, name, x):
    figure = FIGURES[name]
    record = figure.record(store, View(runs=("pre-0", "post-0"), x=x))
    assert not record.empty
    assert figure.draw(record, LIGHT).data
    assert len(figure.table(record)) and figure.alt(record).endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_that_nothing_was_measured(bare, name):
    record = FIGURES[name].record(bare, View(runs=("pre-0",)))
    assert record.empty
    assert not FIGURES[name].draw(record, LIGHT).data
    assert FIGURES[name].alt(record).endswith("nothing to show yet.")
    assert FIGURES[name].table(record).empty


def test_the_numbers_of_the_whole_stack_have_a_row_a_run(store):
    table = TABLES["effectiveness"]
    frame = table.table(table.record(store, View(runs=("pre-0", "post-0"))))
    assert list(frame["Run"]) == ["pre-0", "post-0"] and list(frame["Step"]) == [80, 80]
    assert frame["Deep over early half"].tolist() == [0.1, 0.6]
