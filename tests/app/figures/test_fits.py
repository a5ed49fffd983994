import math

import pytest

from depthscope.app.figures.fits import growth, half_depth_ratio, line_fit


def test_a_line_is_fitted_exactly():
    fit = line_fit([1, 2, 3, 4], [5, 7, 9, 11])
    assert fit.slope == pytest.approx(2) and fit.r2 == pytest.approx(1)


def test_a_constant_has_no_slope():
    fit = line_fit([1, 2, 3], [4, 4, 4])
    assert fit.slope == pytest.approx(0, abs=1e-12) and fit.r2 == 0


def test_points_that_are_not_finite_are_left_out():
    fit = line_fit([1, 2, 3, 4], [1, float("nan"), 3, 4])
    assert fit.slope == pytest.approx(1)
    assert math.isnan(line_fit([1, 2], [1, 2]).slope)


def test_growth_names_the_better_fit():
    layers = range(13)
    assert growth(layers, [1 + 2 * n for n in layers]).word == "linear"
    assert growth(layers, [math.exp(0.3 * n) for n in layers]).word == "exponential"
    assert growth(layers, [1.0] * 13).word == "flat"
    assert growth([0, 1], [1, 2]).word == ""


def test_growth_leaves_out_the_embedding_and_the_first_block():
    assert growth([0, 1, 2, 3, 4], [99, -5, 2, 3, 4]).linear.slope == pytest.approx(1)


def test_half_depth_ratio():
    assert half_depth_ratio([1, 2, 3, 4], [1, 1, 3, 5]) == 4
    assert math.isnan(half_depth_ratio([1], [1]))
    assert math.isnan(half_depth_ratio([], []))
