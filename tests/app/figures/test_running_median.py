import numpy as np

from depthscope.app.figures.lines import Line, lines_info
from depthscope.app.figures.loss import series_figure
from depthscope.app.figures.running_median import running_median
from depthscope.app.theme import LIGHT, tint

NOISE = np.random.default_rng(0).normal(0, 0.1, 200)
STEPS = tuple(float(step) for step in range(200))


def test_noise_goes_and_a_step_stays_where_it_is():
    noisy = np.where(np.arange(200) < 100, 1.0, 5.0) + NOISE
    median = running_median(noisy)
    assert np.std(median[:95]) < 0.7 * np.std(noisy[:95])
    assert (median[:98] < 2).all() and (median[102:] > 4).all()


def test_a_constant_stays_a_constant_up_to_both_ends():
    assert (running_median([3.0] * 150) == 3.0).all()


def test_nan_and_inf_are_left_out():
    values = [2.0] * 120
    values[50], values[51] = float("nan"), float("inf")
    assert (running_median(values) == 2.0).all()


def test_values_stay_behind_their_median_and_are_what_hovering_tells():
    values = tuple(2.0 + NOISE)
    line = Line("a", "pre", STEPS, values, tuple(v - 1 for v in values), tuple(v + 1 for v in values))
    figure = series_figure(lines_info([line], "Optimizer step", "Loss", "linear"), LIGHT, "")
    band, pale, strong = figure.data
    assert band.fill == "toself" and pale.line.color == tint("#0072B2", 0.3) and strong.line.color == "#0072B2"
    np.testing.assert_allclose(pale.y, values, rtol=1e-6)
    np.testing.assert_allclose(strong.customdata, values, rtol=1e-6)
    np.testing.assert_allclose(strong.y, running_median(values), rtol=1e-6)
    assert pale.showlegend is False and strong.showlegend is True


def test_a_short_line_is_drawn_as_it_is():
    line = Line("a", "pre", STEPS[:20], tuple(STEPS[:20]))
    figure = series_figure(lines_info([line], "Optimizer step", "Loss", "linear"), LIGHT, "")
    assert len(figure.data) == 1 and list(figure.data[0].y) == list(STEPS[:20])
