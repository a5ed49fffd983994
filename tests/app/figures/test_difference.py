"""One run against the baseline over layers and steps."""

import math

import pandas as pd
import pytest

from depthscope.app.figures import FIGURES
from depthscope.app.figures.difference import baseline_of, difference_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

VIEW = View(runs=("a", "b"))


def frame(*rows: tuple[int, int, float, float]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["step", "layer", "value", "base"])
    about = {"phase": "train", "metric": "variance", "title": "Variance", "unit": "", "site": "resid_post"}
    return found.assign(x=found["step"], run="b", **about)


def test_positive_values_are_told_as_a_ratio():
    info = difference_info(frame((0, 1, 2.0, 1.0), (0, 2, 1.0, 4.0), (10, 1, 1.0, 1.0)), VIEW)
    assert info.values == ((1.0, 0.0), (-2.0, None))
    assert info.low == -info.high and info.value_title.endswith("log2 of the ratio to the baseline")
    drawn = FIGURES["difference"].draw(info, LIGHT)
    assert drawn.data[0].zmid == 0 and "b against a." in info.note


def test_other_values_as_a_difference_and_a_nan_is_marked():
    info = difference_info(frame((0, 1, -2.0, 1.0), (0, 2, math.nan, 1.0)), VIEW)
    assert info.values[0] == (-3.0,) and math.isnan(info.values[1][0]) and info.nonfinite == 1
    assert info.value_title.endswith("difference from the baseline")


@pytest.mark.parametrize(
    ("view", "base"),
    [(VIEW, "a"), (View(runs=("a", "b"), baseline="b"), "b"), (View(runs=("a", "b"), pins=("b",)), "b")],
)
def test_the_baseline_is_chosen_or_pinned_or_the_first(view, base):
    assert baseline_of(view) == base


def test_from_a_store(five):
    view = View(runs=("pre-0", "post-0"))
    info = FIGURES["difference"].record(five, view)
    assert not info.empty and info.layers == tuple(range(7)) and len(info.steps) == 12
    alone = FIGURES["difference"].record(five, View(runs=("pre-0",)))
    assert alone.empty and not FIGURES["difference"].draw(alone, LIGHT).data
