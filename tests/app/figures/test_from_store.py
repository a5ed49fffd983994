"""Every figure on a real store: what the report and the pages rely on."""

from dataclasses import replace

import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures import FIGURES, TABLES
from depthscope.app.theme import THEMES
from depthscope.app.view import View

RUNS = ("pre-0", "post-0", "peri-0", "mix-0", "lns-0")
OF_NO_METRIC = {"loss", "grad_norm", "seed_groups", "sparsity_curve", "sparsity_patterns"}
"""Figures that do not depend on the metric and the stack."""


@pytest.fixture(scope="module")
def store_of(five, tmp_path_factory):
    """store_of(figure) -> the store it has something to show of: masks are those of sparse training."""
    runs = [SyntheticRun(run, "pre", masked=True) for run in RUNS[:2]]
    masked = make_store(tmp_path_factory.mktemp("masked") / "store", runs, layers=2, steps=12)
    return lambda name: masked if name == "masks" else five


@pytest.mark.parametrize("x", ["step", "tokens", "wall_time"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws(store_of, name, x):
    figure = FIGURES[name]
    record = figure.record(store_of(name), View(runs=RUNS, x=x))
    assert not record.empty
    for theme in THEMES.values():
        drawn = figure.draw(record, theme)
        assert {trace.type for trace in drawn.data} <= {"scatter", "heatmap", "bar"}
        assert all(axis.title.text for axis in drawn.select_xaxes())
    assert len(figure.table(record)) > 0
    assert figure.alt(record).endswith(".")


@pytest.mark.parametrize("x", ["step", "tokens", "wall_time"])
@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if "zoom" in figure.reads])
def test_a_stretch_of_a_figure_has_its_values_and_one_more_on_either_side(store_of, name, x):
    view, store = View(runs=RUNS, run="post-0", x=x), store_of(name)
    every = places(FIGURES[name].record(store, view))
    middle = len(every) // 2
    first, last = every[middle] - 1e-6, every[middle + 2] + 1e-6
    record = FIGURES[name].record(store, replace(view, zoom=(first, last)))
    assert places(record) == pytest.approx(every[middle - 1 : middle + 4])
    assert FIGURES[name].draw(record, THEMES["light"]).data


def places(record):
    """Where the figure has values, in the units of its axis."""
    chart = record.panels[0] if hasattr(record, "panels") else getattr(record, "runs", record)
    lines = getattr(chart, "lines", None)
    return [x * record.divisor for x in (record.x if lines is None else lines[1 % len(lines)].x)]


@pytest.mark.parametrize("view", [View(), View(runs=("gone",)), View(runs=RUNS, metric="no_such", stack="no_such")])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_draw_is_no_error(five, name, view):
    figure = FIGURES[name]
    record = figure.record(five, view)
    if name in OF_NO_METRIC and view.runs == RUNS:
        return
    assert record.empty
    assert not figure.draw(record, THEMES["light"]).data
    assert figure.table(record).empty


def test_tables(five):
    for table in TABLES.values():
        record = table.record(five, View(runs=RUNS))
        assert list(table.table(record)["Run"]) == list(RUNS)
        assert table.record(five, View()).empty


def test_profiles_at_an_earlier_step(five):
    record = FIGURES["depth_profile"].record(five, View(runs=RUNS, step=25, phase="train"))
    assert record.note == "Measured on training batches at step 20."


def test_the_nan_half_of_a_run_is_marked(five):
    record = FIGURES["layer_step"].record(five, View(runs=RUNS, run="lns-0"))
    assert record.nonfinite == 12  # 2 of 6 layers, 6 of 12 steps
    assert "12 cells are NaN or Inf" in record.note


def test_hostile_names_draw(hostile):
    runs = tuple(hostile.runs()["run"])
    for figure in FIGURES.values():
        drawn = figure.draw(figure.record(hostile, View(runs=runs)), THEMES["light"])
        assert not any("<" in (trace.name or "") for trace in drawn.data)
