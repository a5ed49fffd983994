"""Abrupt sparsification on series whose jump is known."""

import math

import pandas as pd
import pytest

from depthscope.store import abrupt_sparsification, largest_jump


def test_the_largest_rise_and_how_unusual_it_is():
    at, increase, z = largest_jump([0.0, 0.01, 0.03, 0.04, 0.34, 0.35])
    assert (at, increase) == (4, pytest.approx(0.30))
    assert z == pytest.approx((0.30 - 0.04 / 3) / math.sqrt(((0.01 - 0.04 / 3) ** 2 * 2 + (0.02 - 0.04 / 3) ** 2) / 3))


def test_without_earlier_rises_there_is_no_z():
    at, increase, z = largest_jump([0.0, 0.5, 0.6])
    assert (at, increase) == (1, 0.5)
    assert math.isnan(z)
    assert largest_jump([0.0, 0.0, 0.0, 0.5])[2] == math.inf


@pytest.mark.parametrize("values", [[], [0.1], [0.3, 0.2, 0.2]])
def test_what_does_not_rise_does_not_jump(values):
    assert largest_jump(values) is None


def test_a_frame_gives_a_row_for_each_run_and_threshold():
    def row(run, step, threshold, near_zero, layer=None, matrix="all"):
        keys = {"run": run, "step": step, "stack": "main", "layer": layer, "matrix": matrix}
        return {**keys, "threshold": threshold, "near_zero": near_zero, "pruned_share": None}

    layers = pd.DataFrame(
        [row("a", step, 1e-3, value) for step, value in ((0, 0.0), (10, 0.01), (20, 0.03), (30, 0.5))]
        + [row("a", step, 1e-4, 0.2) for step in (0, 10, 20, 30)]
        + [row("b", step, 1e-3, value) for step, value in ((0, 0.0), (5, 0.1))]
        + [row("b", step, 1e-3, value, 1, "mlp.up") for step, value in ((0, 0.0), (5, 0.9))]
        + [row("b", 5, 0.5, None)]
    )
    found = abrupt_sparsification(layers)
    assert [*zip(found["run"], found["threshold"], found["from_step"], found["step"], strict=True)] == [
        ("a", 1e-3, 20, 30),
        ("b", 1e-3, 0, 5),
    ]
    assert found["increase"].tolist() == pytest.approx([0.47, 0.1])
    assert found["z"].iloc[0] == pytest.approx((0.47 - 0.015) / 0.005)
