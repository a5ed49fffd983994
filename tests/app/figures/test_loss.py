import numpy as np
import pandas as pd

from depthscope.app.figures import FIGURES
from depthscope.app.figures.lines import Line, Lines
from depthscope.app.figures.loss import loss_figure, loss_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

NAN = float("nan")
COLUMNS = ["run", "strategy", "step", "x", "low", "high", "last", "nonfinite"]
FRAME = pd.DataFrame(
    [
        ("b", "post", 2, 2, 3.0, 5.0, 4.0, 0),
        ("b", "post", 1, 1, 4.0, 6.0, 5.0, 0),
        ("a", "pre", 1, 1, 2.0, 2.0, 2.0, 0),
    ],
    columns=COLUMNS,
)


def test_one_line_a_run_in_the_order_of_the_view():
    assert loss_info(FRAME, View(runs=("b", "a", "gone"))) == Lines(
        lines=(
            Line("b", "post", (1.0, 2.0), (5.0, 4.0), (4.0, 3.0), (6.0, 5.0), (0.0, 0.0)),
            Line("a", "pre", (1.0,), (2.0,), (2.0,), (2.0,), (0.0,)),
        ),
        x_title="Optimizer step",
        y_title="Training loss (nats/token)",
    )


def test_wall_time_is_divided_into_its_unit():
    info = loss_info(FRAME.assign(x=[7200.0, 3600.0, 20000.0]), View(runs=("b",), x="wall_time"))
    assert info.x_title == "Time since the first step (h)"
    assert info.lines[0].x == (1.0, 2.0)


def test_the_band_lies_under_the_line_and_only_where_a_bucket_has_a_range():
    figure = loss_figure(loss_info(FRAME, View(runs=("a", "b"))), LIGHT)
    assert [(trace.type, trace.fill, trace.name) for trace in figure.data] == [
        ("scatter", "toself", "min to max"),
        ("scatter", None, "a"),
        ("scatter", None, "b"),
    ]
    np.testing.assert_array_equal(figure.data[0].x, [1, 2, 2, 1])
    np.testing.assert_array_equal(figure.data[0].y, [6, 5, 3, 4])


def test_nan_is_drawn_at_the_top_and_counted():
    info = loss_info(FRAME.assign(last=[NAN, 5.0, 2.0], nonfinite=[1, 0, 0]), View(runs=("a", "b")))
    assert info.note == "Red triangles mark 1 NaN or Inf value."
    triangles = loss_figure(info, LIGHT).data[-1]
    assert (triangles.name, list(triangles.x), triangles.yaxis) == ("NaN or Inf", [2.0], "y91")


def test_an_inf_inside_a_bucket_is_drawn_too():
    info = loss_info(FRAME.assign(high=[float("inf"), 6.0, 2.0], nonfinite=[1, 0, 0]), View(runs=("b",)))
    assert info.lines[0].nonfinite == (2.0,)


def test_a_nan_inside_a_bucket_of_good_values_is_drawn_too():
    info = loss_info(FRAME.assign(nonfinite=[3, 0, 0]), View(runs=("b",)))
    assert info.lines[0].nonfinite == (2.0,)
    assert info.note == "Red triangles mark 3 NaN or Inf values."


def test_no_loss_gives_a_sentence():
    info = loss_info(pd.DataFrame(columns=COLUMNS), View(runs=("a",)))
    assert info == Lines((), "Optimizer step", "Training loss (nats/token)")
    figure = loss_figure(info, LIGHT)
    assert not figure.data
    assert figure.layout.annotations[0].text == "No loss was logged: call probe.log(loss=loss)."
    assert FIGURES["loss"].alt(info) == "Loss of each run: nothing to show yet."


def test_names_are_inert():
    info = loss_info(FRAME.assign(run="<b>x</b>"), View(runs=("<b>x</b>",)))
    assert loss_figure(info, LIGHT).data[-1].name == "&lt;b&gt;x&lt;/b&gt;"


def test_the_table_has_the_numbers():
    info = loss_info(FRAME, View(runs=("b",)))
    table = FIGURES["loss"].table(info)
    assert list(table.columns) == [
        "run",
        "strategy",
        "Optimizer step",
        "Training loss (nats/token)",
        "bucket minimum",
        "bucket maximum",
    ]
    assert table.values.tolist() == [["b", "post", 1.0, 5.0, 4.0, 6.0], ["b", "post", 2.0, 4.0, 3.0, 5.0]]


def test_values_beyond_float32_are_not_lost():
    info = loss_info(FRAME.assign(last=[1e300, 5.0, 2.0]), View(runs=("b",)))
    assert max(loss_figure(info, LIGHT).data[-1].y) == 1e300
