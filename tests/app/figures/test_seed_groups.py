import math

import pandas as pd

from depthscope.app.figures.seed_groups import SEED_GROUPS, seed_groups_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View


def frame(losses):
    rows = [(run, s, x, x, y, y, y, 0) for (run, s), ys in losses.items() for x, y in enumerate(ys)]
    return pd.DataFrame(rows, columns=["run", "strategy", "step", "x", "low", "high", "last", "nonfinite"])


FRAME = frame({("a", "pre"): [4.0, 2.0, 1.0], ("b", "pre"): [2.0, 4.0], ("c", "post"): [3.0, 3.0]})
VIEW = View(runs=("a", "b", "c"))


def test_the_mean_covers_what_all_seeds_have_and_tells_n():
    means = seed_groups_info(FRAME, VIEW).means.lines
    assert [(line.label, line.x, line.y) for line in means] == [
        ("pre: mean of n = 2", (0.0, 1.0), (3.0, 3.0)),
        ("post: mean of n = 1", (0.0, 1.0), (3.0, 3.0)),
    ]


def test_nan_of_one_seed_is_nan_of_the_mean():
    (mean,) = seed_groups_info(frame({("a", "pre"): [1.0, math.nan], ("b", "pre"): [1.0, 1.0]}), VIEW).means.lines
    assert mean.y[0] == 1.0 and math.isnan(mean.y[1])


def test_seeds_are_thin_and_means_are_in_the_legend():
    figure = SEED_GROUPS.draw(seed_groups_info(FRAME, VIEW), LIGHT)
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert shown == ["pre: mean of n = 2", "post: mean of n = 1"]
    assert sum(trace.line.width == 1 for trace in figure.data) == 3
