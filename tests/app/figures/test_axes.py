from depthscope.app.figures.axes import horizontal, is_log, layer_axis, missing_note, value_axis

NAN, INF = float("nan"), float("inf")


def test_auto_takes_a_log_axis_for_decades():
    assert is_log("auto", [(1.0, 2.0), (50.0,)])
    assert not is_log("auto", [(1.0, 2.0), (20.0,)])
    assert not is_log("auto", [(0.0, 1.0, 1000.0)])


def test_a_wish_wins_where_it_can_be_met():
    assert is_log("log", [(1.0, 2.0)])
    assert not is_log("linear", [(1.0, 1e6)])
    assert not is_log("log", [(0.0, -1.0)])


def test_values_that_are_not_finite_do_not_matter():
    assert is_log("auto", [(1.0, NAN, INF, 100.0)])
    assert not is_log("auto", [(NAN, INF)])
    assert not is_log("auto", [])


def test_wall_time_has_the_unit_that_reads_best():
    assert horizontal("wall_time", 100).title == "Time since the first step (s)"
    assert horizontal("wall_time", 1000).title == "Time since the first step (min)"
    assert horizontal("wall_time", 1e5).divisor == 3600
    assert horizontal("tokens", 5).title == "Tokens"


def test_few_decades_have_ticks_between_them():
    assert value_axis([(1.0, 100.0)], log=True)["dtick"] == "D2"
    assert value_axis([(1.0, 1e6)], log=True)["dtick"] == 1
    assert value_axis([(1.0,)], log=False) == {"type": "linear", "range": None}


def test_layers_are_whole_numbers():
    assert layer_axis(3) == {"tickformat": "d", "dtick": 1}
    assert [layer_axis(n)["dtick"] for n in (8, 12, 24, 32, 48)] == [1, 2, 3, 4, 6]
    assert layer_axis(23) == {"tickformat": "d", "dtick": None}  # a prime: Plotly's own choice


def test_what_cannot_be_drawn_is_told():
    assert missing_note(0, 0) == ""
    assert missing_note(1, 0) == "Red triangles mark 1 NaN or Inf value."
    assert missing_note(0, 2) == "2 values at or below zero cannot be drawn on a log axis."
