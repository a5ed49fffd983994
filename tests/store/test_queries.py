import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from stores import stats, write_run

from depthscope.store import (
    DepthscopeError,
    LayerStats,
    Metric,
    RunInfo,
    Scalar,
    Step,
    Store,
    depth_profile,
    ingest,
    layer_series,
    layer_step,
    metric_sites,
    open_run,
    open_store,
    run_table,
    sampled_steps,
    series,
)

NAN, INF = math.nan, math.inf


def data(frame: pd.DataFrame) -> list[list[object]]:
    """The rows of a frame, None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


@pytest.fixture
def store(root: Path) -> Store:
    """Run a (pre, in the database) with 4 steps and run b (post, in the spool) with 2."""
    writer = open_run(root, RunInfo("a", strategy="pre"))
    writer.write(Metric("variance", "x^2", "Variance", "", "", "mean"))
    writer.write(
        *(stats(step, layer, variance=10.0 * layer + step, nonfinite=1.0) for step in (0, 10, 20) for layer in (0, 1))
    )
    writer.write(*(Step(step, 100.0 + step, tokens=8 * step, loss=5.0 - step / 10) for step in range(0, 40, 10)))
    writer.write(LayerStats(0, "train", "main", None, "head", {"param_norm": 3.0}))
    writer.write(LayerStats(5, "probe", "main", 1, "resid_post", {"variance": 7.0}))
    writer.write(Scalar(10, "val/loss", 4.5), Scalar(20, "val/loss", 4.25))
    writer.close()
    ingest(root)
    writer = open_run(root, RunInfo("b", strategy="post"))
    writer.write(stats(0, 1, variance=1.0), stats(10, 1, variance=1.5))
    writer.write(Step(0, 500.0, loss=NAN), Step(10, 501.0, loss=3.0))
    writer.close("failed")
    return open_store(root)


def test_run_table(store: Store) -> None:
    table = run_table(store)
    chosen = ["run", "strategy", "status", "last_loss", "min_loss", "tokens", "nonfinite", "last_step"]
    assert data(table[chosen]) == [
        ["a", "pre", "finished", 2.0, 2.0, 240, 6, 30],
        ["b", "post", "failed", 3.0, 3.0, None, 0, 10],
    ]
    assert set(store.runs().columns) <= set(table.columns)


def test_run_table_of_a_store_without_rows(root: Path) -> None:
    open_run(root, RunInfo("a")).close()
    assert data(run_table(open_store(root))[["run", "last_loss", "tokens", "nonfinite"]]) == [["a", None, None, 0]]


@pytest.mark.parametrize(("seconds", "status"), [(50, "running"), (70, "stalled")])
def test_a_run_without_a_heartbeat_is_stalled(root: Path, seconds: int, status: str) -> None:
    writer = open_run(root, RunInfo("a"))
    later = datetime.now(UTC) + timedelta(seconds=seconds)
    with mock.patch("depthscope.store.queries.datetime") as clock:
        clock.now.return_value = later
        assert run_table(open_store(root))["status"].tolist() == [status]
    writer.close()
    with mock.patch("depthscope.store.queries.datetime") as clock:
        clock.now.return_value = later
        assert run_table(open_store(root))["status"].tolist() == ["finished"]


def test_metric_sites(store: Store) -> None:
    assert data(metric_sites(store, ["a", "b"])) == [
        ["nonfinite", "", "nonfinite", "resid_post", "train", "main"],
        ["param_norm", "", "param_norm", "head", "train", "main"],
        ["variance", "x^2", "Variance", "resid_post", "probe", "main"],
        ["variance", "x^2", "Variance", "resid_post", "train", "main"],
    ]
    assert data(metric_sites(store, "b")) == [["variance", "x^2", "Variance", "resid_post", "train", "main"]]
    assert list(metric_sites(store, []).columns) == ["metric", "unit", "title", "site", "phase", "stack"]


def test_metric_sites_of_a_store_without_metrics(root: Path) -> None:
    open_run(root, RunInfo("a")).close()
    found = metric_sites(open_store(root), ["a"])
    assert (len(found), list(found.columns)) == (0, ["metric", "unit", "title", "site", "phase", "stack"])


def test_depth_profile(store: Store) -> None:
    profile = depth_profile(store, ["a", "b"], "variance", "resid_post", "train")
    assert list(profile.columns) == ["run", "strategy", "step", "layer", "value"]
    assert data(profile) == [["a", "pre", 20, 0, 20.0], ["a", "pre", 20, 1, 30.0], ["b", "post", 10, 1, 1.5]]
    early = depth_profile(store, ["a", "b"], "variance", "resid_post", "train", step=19)
    assert data(early) == [["a", "pre", 10, 0, 10.0], ["a", "pre", 10, 1, 20.0], ["b", "post", 10, 1, 1.5]]


def test_depth_profile_has_no_place_for_what_has_no_layer(store: Store) -> None:
    assert len(depth_profile(store, "a", "param_norm", "head", "train")) == 0


@pytest.mark.parametrize("metric", ["nothing", "run", 'variance" FROM runs; DROP TABLE runs; --', ""])
def test_a_metric_that_is_not_there_has_no_rows(store: Store, metric: str) -> None:
    assert len(depth_profile(store, "a", metric, "resid_post", "train")) == 0
    assert len(layer_step(store, "a", metric, "resid_post", "train")) == 0
    assert len(layer_series(store, "a", metric, "resid_post", "train", [1])) == 0
    assert len(series(store, "a", metric)) == 0


def test_layer_step_without_buckets(store: Store) -> None:
    frame = layer_step(store, "a", "variance", "resid_post", "train")
    assert list(frame.columns) == ["step", "layer", "low", "high", "last", "nonfinite"]
    assert data(frame) == [[step, layer, *[10.0 * layer + step] * 3, 0] for step in (0, 10, 20) for layer in (0, 1)]


def spike(root: Path) -> Store:
    """Variance 1 over 100 steps but for a peak of 50 at step 33, a dip to -5 at 34, and layer 2 that ends early."""
    writer = open_run(root, RunInfo("a"))
    values = {33: 50.0, 34: -5.0}
    writer.write(*(stats(step, 1, variance=values.get(step, 1.0)) for step in range(100)))
    writer.write(*(stats(step, 2, variance=2.0) for step in range(50)))
    writer.write(*(Step(step, 10.0 * step, tokens=3 * step, loss=values.get(step, 1.0)) for step in range(100)))
    writer.close()
    return open_store(root)


def test_buckets_lose_no_spike(root: Path) -> None:
    store = spike(root)
    heat = layer_step(store, "a", "variance", "resid_post", "train", bins=10)
    assert data(heat[heat["layer"] == 1]) == [
        [step, 1, -5.0 if step == 39 else 1.0, 50.0 if step == 39 else 1.0, 1.0, 0] for step in range(9, 100, 10)
    ]
    assert data(heat[heat["layer"] == 2]) == [[step, 2, 2.0, 2.0, 2.0, 0] for step in range(9, 50, 10)]
    loss = series(store, ["a"], "loss", points=4)
    assert list(loss.columns) == ["run", "strategy", "step", "x", "low", "high", "last", "nonfinite"]
    assert data(loss) == [
        ["a", None, 24, 24, 1.0, 1.0, 1.0, 0],
        ["a", None, 49, 49, -5.0, 50.0, 1.0, 0],
        ["a", None, 74, 74, 1.0, 1.0, 1.0, 0],
        ["a", None, 99, 99, 1.0, 1.0, 1.0, 0],
    ]
    layer = layer_series(store, "a", "variance", "resid_post", "train", [1, 2], points=2)
    assert list(layer.columns) == ["layer", "step", "x", "low", "high", "last", "nonfinite"]
    assert data(layer) == [
        [1, 49, 49, -5.0, 50.0, 1.0, 0],
        [1, 99, 99, 1.0, 1.0, 1.0, 0],
        [2, 24, 24, 2.0, 2.0, 2.0, 0],
        [2, 49, 49, 2.0, 2.0, 2.0, 0],
    ]


@pytest.mark.parametrize(("x", "expected"), [("step", [24, 49]), ("tokens", [72, 147]), ("wall_time", [240.0, 490.0])])
def test_the_x_axes(root: Path, x: str, expected: list[float]) -> None:
    store = spike(root)
    assert series(store, "a", "loss", x=x, points=4)["x"].tolist()[:2] == expected
    assert layer_series(store, "a", "variance", "resid_post", "train", [2], x=x, points=2)["x"].tolist() == expected


@pytest.mark.parametrize("x", ["step", "tokens", "wall_time"])
def test_a_stretch_of_a_line_comes_in_finer_buckets_with_its_neighbours(root: Path, x: str) -> None:
    store = spike(root)
    unit = {"step": 1, "tokens": 3, "wall_time": 10.0}[x]
    within = (29.5 * unit, 35 * unit)
    raw = series(store, "a", "loss", x=x, points=10, within=within)
    assert raw["step"].tolist() == list(range(29, 37))
    assert raw["x"].tolist() == [step * unit for step in range(29, 37)]
    assert raw["last"].tolist() == [1.0, 1.0, 1.0, 1.0, 50.0, -5.0, 1.0, 1.0]
    layers = layer_series(store, "a", "variance", "resid_post", "train", [1, 2], x=x, points=4, within=within)
    assert data(layers[layers["layer"] == 1][["step", "low", "high"]]) == [
        [30, 1.0, 1.0],
        [32, 1.0, 1.0],
        [34, -5.0, 50.0],
        [36, 1.0, 1.0],
    ]
    beyond = layer_series(store, "a", "variance", "resid_post", "train", [2], x=x, within=(60 * unit, 70 * unit))
    assert beyond["step"].tolist() == [49]


def test_a_stretch_of_steps_of_all_layers(root: Path) -> None:
    heat = layer_step(spike(root), "a", "variance", "resid_post", "train", bins=2, steps=(33, 34))
    assert data(heat[heat["layer"] == 1]) == [[33, 1, 50.0, 50.0, 50.0, 0], [34, 1, -5.0, -5.0, -5.0, 0]]


def test_another_axis_is_an_error(store: Store) -> None:
    with pytest.raises(DepthscopeError, match="expected x to be one of step, tokens, wall_time, got 'run'"):
        series(store, "a", "loss", x="run")


@pytest.mark.parametrize(
    ("values", "low", "high", "last", "nonfinite"),
    [
        ([1.0, 2.0, 3.0], 1.0, 3.0, 3.0, 0),
        ([1.0, NAN, 3.0], 1.0, 3.0, 3.0, 1),
        ([1.0, 3.0, NAN], 1.0, 3.0, NAN, 1),
        ([NAN, NAN, NAN], NAN, NAN, NAN, 3),
        ([1.0, INF, NAN], 1.0, INF, NAN, 2),
        ([-INF, 1.0, 2.0], -INF, 2.0, 2.0, 1),
    ],
)
def test_nan_is_an_extreme_only_where_there_is_nothing_else_and_always_counted(
    root: Path, values: list[float], low: float, high: float, last: float, nonfinite: int
) -> None:
    writer = open_run(root, RunInfo("a"))
    writer.write(*(stats(step, 1, variance=value) for step, value in enumerate(values)))
    writer.write(*(Scalar(step, "x", value) for step, value in enumerate(values)))
    writer.close()
    store = open_store(root)
    for frame in (
        layer_step(store, "a", "variance", "resid_post", "train", bins=1),
        layer_series(store, "a", "variance", "resid_post", "train", [1], points=1),
        series(store, "a", "x", points=1),
    ):
        assert frame[["low", "high", "last", "nonfinite"]].to_numpy().tolist() == [
            [pytest.approx(v, nan_ok=True) for v in (low, high, last, nonfinite)]
        ]


def test_series_of_a_scalar(store: Store) -> None:
    assert data(series(store, ["a", "b"], "val/loss", x="tokens")) == [
        ["a", "pre", 10, 80, 4.5, 4.5, 4.5, 0],
        ["a", "pre", 20, 160, 4.25, 4.25, 4.25, 0],
    ]
    assert len(series(store, "a", "x' OR true --")) == 0


def test_series_without_tokens_has_no_x(store: Store) -> None:
    assert len(series(store, "b", "loss", x="tokens")) == 0
    assert data(series(store, "b", "loss", x="wall_time"))[1] == ["b", "post", 10, 1.0, 3.0, 3.0, 3.0, 0]


def test_sampled_steps(store: Store) -> None:
    frame = sampled_steps(store, ["a", "b"], "train")
    assert list(frame.columns) == ["run", "step", "tokens", "wall_time"]
    assert data(frame) == [
        ["a", 0, 0, 0.0],
        ["a", 10, 80, 10.0],
        ["a", 20, 160, 20.0],
        ["b", 0, None, 0.0],
        ["b", 10, None, 1.0],
    ]
    assert data(sampled_steps(store, "a", "probe")) == [["a", 5, None, None]]


def test_hostile_run_names_are_only_names(root: Path) -> None:
    name = "x'); DROP TABLE runs; --\""
    write_run(root, name)
    store = open_store(root)
    assert set(depth_profile(store, name, "variance", "resid_post", "train")["run"]) == {name}
    assert len(series(store, [name], "loss")) == 0
    assert run_table(store)["run"].tolist() == [name]
