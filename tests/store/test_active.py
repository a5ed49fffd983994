"""The average parameter count: the two schedules of the reference, exactly."""

import pandas as pd
import pytest

from depthscope.store import average_parameters, running_average

STEPS = 1000


def counts(sparsity_of_progress) -> list[float]:
    """100 parameters, 80 % of them pruned between a quarter and three quarters of training."""
    ramp = [min(max((step / STEPS - 0.25) / 0.5, 0.0), 1.0) for step in range(STEPS + 1)]
    return [100 * (1 - 0.8 * sparsity_of_progress(u)) for u in ramp]


def test_a_linear_ramp_averages_60():
    assert running_average(range(STEPS + 1), counts(lambda u: u))[-1] == pytest.approx(60, abs=1e-9)


def test_a_cubic_ramp_averages_50():
    exact = running_average(range(STEPS + 1), counts(lambda u: 1 - (1 - u) ** 3))[-1]
    assert exact == pytest.approx(50, abs=1e-4)


def test_a_mask_that_comes_late_is_not_drawn_out_to_the_start():
    assert running_average([10, 11, 21], [100, 50, 50]) == pytest.approx([100, (1000 + 75) / 11, (1075 + 500) / 21])


def test_a_frame_of_scalars():
    rows = [("a", 0, "active_parameters", 100.0), ("a", 10, "active_parameters", 50.0), ("a", 10, "loss2", 7.0)]
    found = average_parameters(pd.DataFrame(rows, columns=["run", "step", "name", "value"]))
    assert found.to_dict("records") == [
        {"run": "a", "step": 0, "active": 100.0, "average": 100.0},
        {"run": "a", "step": 10, "active": 50.0, "average": 75.0},
    ]
