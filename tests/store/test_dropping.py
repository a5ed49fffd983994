"""Dropping points of curves whose answer is known, and of frames as the store gives them."""

import math

import pandas as pd

from depthscope.store import dropping_points, knee, last_within

GRID = [i / 10 for i in range(10)]


def frame(losses: list[float], **changes) -> pd.DataFrame:
    row = {"run": "a", "step": 5, "definition": "oneshot_ce", "pattern": "unstructured", "scope": "global"}
    row |= {"ranking": "magnitude", "weights": "current", "loss_se": 0.0, "tokens": 100} | changes
    return pd.DataFrame([{**row, "sparsity": s, "loss": loss} for s, loss in zip(GRID, losses, strict=False)])


def test_the_papers_example_drops_after_a_half():
    accuracy = [90, 90, 90, 89.8, 89.5, 89.2, 85, 70, 50, 30]
    assert last_within(GRID, [-each for each in accuracy], 1.0) == 0.5


def test_a_point_on_the_edge_is_within():
    assert last_within([0.0, 0.1, 0.2], [2.0, 2.02, 2.03], 0.02) == 0.1


def test_the_first_drop_counts_though_the_loss_returns():
    assert last_within([0.0, 0.1, 0.2, 0.3], [1.0, 1.5, 1.0, 2.0], 0.1) == 0.0


def test_a_loss_that_is_not_finite_has_dropped():
    assert last_within([0.0, 0.1, 0.2], [1.0, 1.0, math.nan], 0.1) == 0.1
    assert last_within([0.0, 0.1, 0.2], [1.0, 1.0, math.inf], 0.1) == 0.1


def test_a_curve_that_stays_within_has_no_drop():
    assert last_within(GRID, [1.0] * 10, 0.01) is None


def test_the_knee_is_farthest_from_the_chord():
    assert knee([0.0, 0.25, 0.5, 0.75, 1.0], [1.0, 1.0, 1.1, 2.0, 4.0]) == 0.5
    assert knee([0.0, 0.5, 1.0], [1.0, 1.0, 1.0]) is None
    assert knee([0.0, 0.5, 1.0], [1.0, 1.5, 2.0]) is None
    assert knee([0.0, 0.5, 0.8, 1.0], [1.0, 1.1, math.inf, 3.0]) == 0.5


def test_every_definition_of_a_curve():
    losses = [2.0, 2.005, 2.015, 2.03, 2.06, 2.2, 2.5, 3.0, 4.0, 6.0]
    found = dropping_points(frame(losses)).set_index("definition")
    assert found["sparsity"].to_dict() == {
        "oneshot_ce_1pct": 0.2,
        "oneshot_ce_0.01": 0.1,
        "oneshot_ce_0.05": 0.3,
        "oneshot_ce_0.1": 0.4,
        "oneshot_ce_knee": 0.6,
    }
    assert found["reached"].all()
    assert set(found["loss"]) == {2.0}


def test_an_untrained_curve_says_that_it_never_dropped():
    found = dropping_points(frame([5.0] * 10, weights="init"))
    assert set(found["sparsity"]) == {0.9}
    assert not found["reached"].any()
    assert "oneshot_ce_knee" not in set(found["definition"])


def test_curves_are_kept_apart_and_patterns_are_no_curves():
    steep, flat = [1.0] + [2.0] * 9, [1.0] * 10
    points = pd.concat(
        [frame(steep), frame(flat, scope="matrix"), frame([1.0, 9.0], pattern="2:4"), frame(steep, step=9)]
    )
    found = dropping_points(points)
    first = found[found["definition"] == "oneshot_ce_1pct"]
    assert [*zip(first["step"], first["scope"], first["sparsity"], strict=True)] == [
        (5, "global", 0.0),
        (5, "matrix", 0.9),
        (9, "global", 0.0),
    ]


def test_nothing_measured_is_an_empty_frame():
    assert dropping_points(frame([1.0]).iloc[:0]).empty
