"""Figures of pruned weights: the control stands beside the curve, and the dropping point is where the store says."""

import pandas as pd
import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures import FIGURES, TABLES
from depthscope.app.figures.near_zero import near_zero_info, threshold_words
from depthscope.app.figures.pruned_shares import levels, pruned_shares_info
from depthscope.app.figures.sparsity_curve import sparsity_curve_figure, sparsity_curve_info
from depthscope.app.figures.sparsity_frames import curve_words, ordered_curves
from depthscope.app.figures.sparsity_patterns import sparsity_patterns_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

NAMES = ("sparsity_curve", "sparsity_patterns", "pruned_shares", "near_zero")
VIEW = View(runs=("r",))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    runs = [SyntheticRun("pre-0", "pre"), SyntheticRun("post-0", "post")]
    return make_store(tmp_path_factory.mktemp("pruned") / "store", runs, layers=4, steps=5, evaluated=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bare") / "store", ["pre"], layers=2, steps=2)


def curve(losses, **fixed) -> pd.DataFrame:
    """A curve of run r over sparsities 0, 0.1, 0.2, ..."""
    frame = pd.DataFrame({"sparsity": [n / 10 for n in range(len(losses))], "loss": losses, "loss_se": 0.001})
    usual = {
        "run": "r",
        "strategy": "pre",
        "step": 7,
        "definition": "oneshot_ce",
        "pattern": "unstructured",
        "scope": "matrix",
        "ranking": "magnitude",
        "weights": "current",
        "tokens": 4096,
    }
    return frame.assign(**(usual | fixed))


def test_the_diamond_is_the_last_point_within_one_percent():
    info = sparsity_curve_info(curve([2.0, 2.0, 2.01, 2.2, 3.0]), VIEW)
    (drop,) = info.drops
    assert drop == ("r", pytest.approx(20.0), 2.01, True)
    mark = sparsity_curve_figure(info, LIGHT).data[-1]
    assert (list(mark.x), list(mark.y), list(mark.marker.symbol)) == ([pytest.approx(20.0)], [2.01], ["diamond"])
    assert "4,096 held-out tokens at step 7." in info.note


def test_a_curve_that_never_drops_is_told_apart():
    info = sparsity_curve_info(curve([2.0, 2.0, 2.0]), VIEW)
    assert info.drops == (("r", pytest.approx(20.0), 2.0, False),)
    assert list(sparsity_curve_figure(info, LIGHT).data[-1].marker.symbol) == ["triangle-right"]
    table = TABLES["dropping_points"]
    cells = table.table(table.info(curve([2.0, 2.0, 2.0]), VIEW))
    assert list(cells["Within 1 %"]) == ["≥ 20 %"] and list(cells["Knee"]) == [""]


def test_the_control_is_drawn_dotted_and_its_absence_is_told():
    both = pd.concat([curve([2.0, 2.5]), curve([4.8, 4.8], weights="init", step=0)])
    info = sparsity_curve_info(both, VIEW)
    dotted = [trace for trace in sparsity_curve_figure(info, LIGHT).data if trace.line.dash == "dot"]
    assert [list(trace.y) for trace in dotted] == [[4.8, 4.8]]
    assert "the control" in info.note
    assert "without that control" in sparsity_curve_info(curve([2.0, 2.5]), VIEW).note
    weights = FIGURES["sparsity_curve"].table(info)["weights"].tolist()
    assert weights == ["trained", "trained", "untrained", "untrained"]


def test_a_way_of_pruning_that_was_not_measured_gives_way_to_one_that_was():
    frame = pd.concat([curve([2.0, 2.5], ranking="random"), curve([2.0, 2.1], scope="global")])
    info = sparsity_curve_info(frame, VIEW)
    assert info.choices == ("global:magnitude", "matrix:random")
    assert info.runs.lines[0].y == (2.0, 2.1)
    chosen = sparsity_curve_info(frame, View(runs=("r",), pruning="matrix:random"))
    assert chosen.runs.lines[0].y == (2.0, 2.5) and "random, in each matrix" in chosen.note


def test_patterns_are_held_against_the_dense_loss_and_any_half():
    frame = pd.concat(
        [
            curve([2.0, 2.1, 2.2, 2.3, 2.4, 2.5]),
            curve([2.0, 2.1, 2.2, 2.3, 2.4, 9.0], ranking="random"),
            curve([2.7], pattern="2:4").assign(sparsity=0.5),
        ]
    )
    (run,) = sparsity_patterns_info(frame, VIEW).runs
    assert run.names == ("any 50 %", "2:4")
    assert run.deltas == pytest.approx((0.5, 0.7))


def test_shares_show_the_level_nearest_to_the_wish():
    frame = pd.DataFrame(
        [(1, "q", 0.3, 0.1), (1, "up", 0.3, 0.4), (1, "q", 0.6, 0.5), (1, "up", 0.6, 0.7)],
        columns=["layer", "matrix", "threshold", "pruned_share"],
    ).assign(run="r", step=3)
    assert levels(frame) == (30, 60)
    (grid,) = pruned_shares_info(frame, VIEW).grids
    assert (grid.y, grid.values) == (("q", "up"), ((0.5,), (0.7,)))
    (other,) = pruned_shares_info(frame, View(runs=("r",), level=31)).grids
    assert other.values == ((0.1,), (0.4,))


def test_thresholds_are_absolute_or_relative_to_the_beginning():
    assert [threshold_words(t) for t in (1e-4, 0.01, 4.7e-4)] == [
        "|w| < 0.0001",
        "|w| < 0.01",
        "|w| < 1 % of the initial RMS",
    ]
    frame = pd.DataFrame({"step": [0, 9], "x": [0, 9], "threshold": 1e-3, "near_zero": [0.01, 0.02]})
    (line,) = near_zero_info(frame, VIEW).lines
    assert (line.x, line.y) == ((0.0, 9.0), (1.0, 2.0))


def test_names_of_other_programs_are_kept_and_come_last():
    assert ordered_curves(["matrix:<b>", "global:magnitude", "matrix:magnitude"])[-1] == "matrix:<b>"
    assert curve_words("rows:own") == "own, rows"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_draws_what_a_store_holds(store, name):
    figure = FIGURES[name]
    record = figure.record(store, View(runs=("pre-0", "post-0")))
    assert not record.empty
    drawn = figure.draw(record, LIGHT)
    assert {trace.type for trace in drawn.data} <= {"scatter", "heatmap", "bar"}
    assert len(figure.table(record)) and figure.alt(record).endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_that_nothing_was_measured(bare, name):
    record = FIGURES[name].record(bare, View(runs=("pre-0",)))
    assert record.empty and not FIGURES[name].draw(record, LIGHT).data
    assert FIGURES[name].alt(record).endswith("nothing to show yet.")


def test_the_dropping_points_of_a_store_have_a_row_a_run_and_the_control(store):
    table = TABLES["dropping_points"]
    frame = table.table(table.record(store, View(runs=("pre-0", "post-0"))))
    assert list(frame["Run"]) == ["pre-0", "post-0"]
    assert list(frame["Untrained, within 1 %"]) == ["≥ 90 %"] * 2
    assert all(cell.endswith("%") for cell in frame["Within 1 %"])
