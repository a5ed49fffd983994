import math

import numpy as np
import pandas as pd
import pytest

from depthscope.app.figures.heat import Heat, heat_figure, heat_table
from depthscope.app.figures.layer_step import layer_step_info
from depthscope.app.theme import LIGHT, NONFINITE
from depthscope.app.view import View

NAN, INF = math.nan, math.inf


def heat_frame(cells):
    frame = pd.DataFrame(cells, columns=["step", "layer", "high"])
    return frame.assign(
        nonfinite=(~np.isfinite(frame["high"])).astype(int),
        x=frame["step"],
        phase="train",
        run="a",
        metric="kurtosis",
        title="Kurtosis",
        unit="",
        site="resid_post",
    )


FRAME = heat_frame([(0, 1, 1.0), (0, 2, 2.0), (10, 1, 3.0), (10, 2, NAN), (20, 1, INF)])


def test_cells_are_kept_apart_from_holes():
    info = layer_step_info(FRAME, View(runs=("a",), step=15, layers=(2,)))
    assert info.x == (0.0, 10.0, 20.0)
    assert info.layers == (1, 2)
    assert info.values[0] == (1.0, 3.0, INF)
    assert info.values[1][0] == 2.0 and math.isnan(info.values[1][1]) and info.values[1][2] is None
    assert info.nonfinite == 2
    assert info.note.startswith("Measured on training batches. 2 cells are NaN or Inf (red).")
    assert (info.marked_x, info.marked_layers) == (10.0, (2,))
    assert info.value_title == "Kurtosis, block output"


def test_nan_and_inf_are_drawn_in_their_own_colour():
    figure = heat_figure(layer_step_info(FRAME, View(runs=("a",))), LIGHT)
    values, broken, edge = figure.data
    assert (edge.type, edge.yaxis, list(edge.x)) == ("scatter", "y2", [10.0])  # where the bad stretch begins
    assert values.type == broken.type == "heatmap"
    np.testing.assert_array_equal(broken.z, np.array([[NAN, NAN, 1], [NAN, 1, NAN]], dtype=np.float32))
    assert broken.colorscale[0][1] == NONFINITE
    assert np.isnan(values.z[0, 2]) and values.z.dtype == np.float32


def test_a_nan_inside_a_bucket_makes_the_cell_red_and_is_counted():
    frame = FRAME.assign(high=[1.0, 2.0, 3.0, 2.0, 9.0], nonfinite=[0, 0, 0, 4, 0])
    info = layer_step_info(frame, View(runs=("a",)))
    assert math.isnan(info.values[1][1]) and info.nonfinite == 1
    assert "1 cell holds 4 NaN or Inf (red)." in info.note


def test_one_outlier_does_not_flatten_the_rest():
    cells = [(step, 1, 1.0 + step / 1000) for step in range(300)] + [(300, 1, 1e6)]
    info = layer_step_info(heat_frame(cells), View(runs=("a",), scale="linear"))
    assert info.high < 2
    assert "beyond the colour range" in info.note


def test_a_tiny_embedding_does_not_flatten_the_blocks():
    info = layer_step_info(heat_frame([(0, 0, 1e-6), (0, 1, 1.0), (0, 2, 2.0)]), View(runs=("a",)))
    assert (info.log, info.low, info.high) == (False, 1.0, 2.0)
    assert layer_step_info(heat_frame([(0, 0, 1.0), (1, 0, 2.0)]), View(runs=("a",))).high == 2.0


def test_a_log_scale_shows_true_values_on_hover_and_on_its_bar():
    info = layer_step_info(heat_frame([(0, 1, 0.1), (1, 1, 100.0), (2, 1, 0.0)]), View(runs=("a",), scale="log"))
    assert info.log and info.note.endswith("1 cell is at or below zero, which a log scale leaves blank.")
    trace = heat_figure(info, LIGHT).data[0]
    assert trace.z[0, :2] == pytest.approx([-1, 2])
    assert trace.customdata[0, :2] == pytest.approx([0.1, 100])
    assert list(trace.colorbar.ticktext) == ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "100"]


@pytest.mark.parametrize("value", [1.0, 0.0, -2.0])
def test_a_constant_has_a_colour_too(value):
    info = layer_step_info(heat_frame([(0, 1, value), (1, 1, value)]), View(runs=("a",)))
    assert info.low < info.high


def test_only_nan_still_draws():
    info = layer_step_info(heat_frame([(0, 1, NAN)]), View(runs=("a",)))
    assert info.nonfinite == 1
    assert len(heat_figure(info, LIGHT).data) == 3


def test_nothing_measured_gives_a_sentence():
    info = layer_step_info(FRAME.iloc[:0], View(runs=("a",)))
    assert info == Heat() and info.empty
    assert not heat_figure(info, LIGHT).data
    assert heat_table(info).empty


def test_the_table_has_one_row_a_measured_cell():
    table = heat_table(layer_step_info(FRAME, View(runs=("a",))))
    assert len(table) == 5
    assert table.values.tolist()[0] == [0.0, 1.0, 1.0]


def test_few_wide_cells_are_marked_where_they_were_measured_and_many_by_round_numbers():
    few = layer_step_info(FRAME, View(runs=("a",)))
    assert heat_figure(few, LIGHT).layout.xaxis.tickvals == (0.0, 10.0, 20.0)
    many = layer_step_info(heat_frame([(step, 1, 1.0) for step in (0, 1, 2, 4, 8, 10, 20)]), View(runs=("a",)))
    assert heat_figure(many, LIGHT).layout.xaxis.tickvals is None
    one = layer_step_info(heat_frame([(7, 1, 1.0)]), View(runs=("a",)))
    assert heat_figure(one, LIGHT).layout.xaxis.tickvals is None
