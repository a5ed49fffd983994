"""More strategies than colours: which stay in colour, what the others look like, and where the names stand."""

import dataclasses
from itertools import pairwise

import pandas as pd
import pytest

from depthscope.app.figures import FIGURES
from depthscope.app.figures.crowd import BRIGHT, GREY, MOST, bright_strategies, crowd_note, in_front
from depthscope.app.figures.depth_profile import depth_profile_info
from depthscope.app.figures.end_labels import GAP, end_labels, spread_apart
from depthscope.app.figures.line import Line
from depthscope.app.figures.loss import loss_info
from depthscope.app.figures.seed_groups import seed_groups_info
from depthscope.app.figures.skip_cost import skip_cost_info
from depthscope.app.figures.sparsity_patterns import sparsity_patterns_info
from depthscope.app.figures.strategy_profiles import strategy_profiles_info
from depthscope.app.theme import DARK, LIGHT, strategy_style
from depthscope.app.view import View, from_params, to_params

MANY = tuple(f"s{n:02}" for n in range(12))
VIEW = View(runs=MANY)


def profiles(strategies=MANY, metric="variance", site="resid_post") -> pd.DataFrame:
    """A run of each strategy, of its name; the n-th ends at n + 2."""
    rows = [(name, layer, 1.0 + layer * (n + 1) / 2) for n, name in enumerate(strategies) for layer in range(3)]
    frame = pd.DataFrame(rows, columns=["run", "layer", "value"])
    return frame.assign(
        strategy=frame["run"], step=5, phase="probe", metric=metric, title=metric.title(), unit="", site=site
    )


def losses(strategies=MANY, points=200) -> pd.DataFrame:
    rows = [(name, x, 2.0 + n + (x % 10 == 5)) for n, name in enumerate(strategies) for x in range(points)]
    frame = pd.DataFrame(rows, columns=["run", "x", "last"])
    return frame.assign(strategy=frame["run"], step=frame["x"], low=frame["last"], high=frame["last"], nonfinite=0)


def test_a_few_strategies_are_all_in_colour():
    assert bright_strategies(MANY[:MOST]) == ()
    lines = [Line("a", "pre", (0.0,), (1.0,))]
    assert in_front(lines, ()) == (tuple(lines), ())
    assert crowd_note(["pre"], ()) == ""


def test_of_many_the_first_few_are_or_those_that_were_chosen():
    assert bright_strategies(MANY) == MANY[:BRIGHT]
    assert bright_strategies(MANY, ["s11", "s03", "gone"]) == ("s03", "s11")
    assert bright_strategies(MANY, MANY) == MANY[:MOST]
    assert bright_strategies([*MANY, *MANY], ["gone"]) == MANY[:BRIGHT]


def test_the_choice_travels_in_the_address():
    view = View(bright=("s03", "<b>"))
    assert from_params(to_params(view)) == view


def test_every_record_of_runs_makes_the_same_choice():
    view = dataclasses.replace(VIEW, bright=("s02", "s07"))
    skip = profiles().assign(delta=0.1, delta_se=0.01, tokens=64, span=1)
    records = [
        depth_profile_info(profiles(), view),
        loss_info(losses(), view),
        skip_cost_info(skip, view),
        strategy_profiles_info(profiles(), view).panels[0],
        seed_groups_info(losses(), view).means,
    ]
    for record in records:
        assert record.bright == ("s02", "s07")
        assert [line.strategy for line in record.front] == ["s02", "s07"] and len(record.back) == 10
        assert record.crowd == "In grey: 10 of 12 strategies." and record.crowd in record.note


def test_grey_lines_lie_below_and_colours_are_those_of_the_strategies():
    drawn = FIGURES["depth_profile"].draw(depth_profile_info(profiles(), VIEW), LIGHT)
    colours = [trace.line.color for trace in drawn.data]
    assert colours == [GREY] * 6 + [strategy_style(name).colour for name in MANY[:BRIGHT]]
    assert drawn.layout.hovermode == "closest" and not drawn.layout.showlegend
    assert drawn.data[0].customdata[0] == "s06"


def test_names_stand_at_the_ends_in_the_order_of_the_values():
    drawn = FIGURES["depth_profile"].draw(depth_profile_info(profiles(), VIEW), DARK)
    told = [note.text.rpartition(" ")[2] for note in drawn.layout.annotations]
    assert told == list(reversed(MANY))
    low, high = drawn.layout.yaxis.range
    assert all(low <= note.y <= high for note in drawn.layout.annotations)


def test_a_panel_has_one_entry_for_all_that_is_grey():
    frame = pd.concat([profiles(), profiles(metric="block_influence", site="block")])
    info = strategy_profiles_info(frame, VIEW)
    drawn = FIGURES["strategy_profiles"].draw(info, LIGHT)
    shown = [trace.name for trace in drawn.data if trace.showlegend]
    assert shown == ["6 others", *MANY[:BRIGHT]]
    assert info.note.count("In grey") == 1


def test_the_noise_of_grey_losses_is_not_drawn():
    info = loss_info(losses(), VIEW)
    drawn = FIGURES["loss"].draw(info, LIGHT)
    grey = [trace for trace in drawn.data if trace.line.color == GREY]
    assert len(grey) == 6
    assert all(len(set(trace.y[5:-5])) == 1 for trace in grey)  # a median knows no spikes
    assert len(set(info.back[0].y)) == 2  # the record keeps them


def test_one_panel_a_strategy():
    record = FIGURES["depth_grid"].info(profiles(), VIEW)
    assert not record.back and "grey" not in record.note
    drawn = FIGURES["depth_grid"].draw(record, LIGHT)
    titles = [note.text for note in drawn.layout.annotations][: len(MANY)]
    assert titles == list(MANY)
    own = [trace for trace in drawn.data if trace.line.color != GREY]
    assert [trace.name for trace in own] == list(MANY)
    assert [trace.xaxis for trace in own] == [None, *(f"x{n}" for n in range(2, 13))]


def test_bars_of_a_crowd_are_dashes():
    rows = [(name, pattern, s, 2.0 + s) for name in MANY for pattern, s in (("unstructured", 0.0), ("2:4", 0.5))]
    frame = pd.DataFrame(rows, columns=["run", "pattern", "sparsity", "loss"])
    frame = frame.assign(
        strategy=frame["run"], weights="current", scope="matrix", ranking="magnitude", loss_se=0.01, tokens=64, step=3
    )
    info = sparsity_patterns_info(frame, VIEW)
    assert len(info.runs) == 12 and info.bright == MANY[:BRIGHT] and "In grey: 6 of 12" in info.note
    drawn = FIGURES["sparsity_patterns"].draw(info, LIGHT)
    assert [trace.type for trace in drawn.data] == ["bar"] * 6 + ["scatter"]
    assert len(drawn.data[-1].x) == 6 and drawn.data[-1].name == "6 others"


def test_labels_move_apart_as_little_as_it_takes():
    assert spread_apart([10.0, 50.0], 15, 100) == [10.0, 50.0]
    assert spread_apart([50.0, 50.0], 10, 100) == [45.0, 55.0]
    assert spread_apart([0.0, 0.0, 90.0], 10, 100) == [0.0, 10.0, 90.0]
    assert spread_apart([99.0, 100.0], 10, 100) == [90.0, 100.0]
    moved = spread_apart([1.0, 2.0, 3.0, 40.0, 41.0], 15, 100)
    assert all(b - a >= 15 for a, b in pairwise(moved)) and moved[0] >= 0 and moved[-1] <= 100


def test_a_label_belongs_to_the_end_of_the_line_and_says_whether_it_is_in_colour():
    nan = float("nan")
    lines = [Line("a", "pre", (0.0, 1.0, 2.0), (1.0, 3.0, nan)), Line("b", "post", (0.0,), (100.0,))]
    high, low = end_labels(lines, (1.0, 10.0), False, 90, {"pre"})
    assert (high.strategy, high.value, high.bright) == ("post", 10.0, False)  # beyond the axis: at its end
    assert (low.strategy, low.value, low.shift, low.bright) == ("pre", 3.0, 0.0, True)
    assert end_labels([Line("c", "lns", (0.0,), (nan,))], (0.0, 1.0), False, 90, set()) == ()


@pytest.mark.parametrize("log", [False, True])
def test_where_names_do_not_fit_those_in_colour_stay(log):
    lines = [Line(name, name, (0.0,), (1.0 + n,)) for n, name in enumerate(MANY)]
    found = end_labels(lines, (1.0, 12.0), log, 5 * GAP, {"s01", "s02"})
    assert [label.strategy for label in found] == ["s02", "s01"]
