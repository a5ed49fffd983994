"""The comparison: what it trains, what it may claim, that it goes on after an interruption."""

import io
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from depthscope.sample_runs import run_compare
from depthscope.sample_runs.__main__ import main
from depthscope.sample_runs.batches import random_batches
from depthscope.sample_runs.compare.results import Result, deep_skip, growth, read_results, skew
from depthscope.sample_runs.compare.study import Study, recipes_of
from depthscope.sample_runs.compare.table import print_comparison
from depthscope.sample_runs.compare.verdict import differences, ranking, standings
from depthscope.sample_runs.crew import train_all
from depthscope.sample_runs.recipes import Recipe
from depthscope.store import DepthscopeError, open_store

TINY = {"layers": 5, "width": 8, "steps": 4}


def result(strategy: str, lr: float, seed: int, loss: float, diverged: bool = False) -> Result:
    recipe = Recipe(strategy, lr=lr, seed=seed, study="s")
    return Result(
        recipe, recipe.name, diverged, math.nan if diverged else loss, loss, 1.0, "linear", 0.5, 3.0, 0.02, 0.01
    )


def curve(strategy: str, losses: tuple[float, float, float], seeds: int = 2) -> list[Result]:
    return [
        result(strategy, lr, seed, loss + 0.01 * seed)
        for lr, loss in zip((1e-3, 2e-3, 4e-3), losses, strict=True)
        for seed in range(seeds)
    ]


def printed(results: list[Result], expected: int) -> str:
    console = Console(file=io.StringIO(), width=250)
    print_comparison(results, expected, console)
    return console.file.getvalue()


def test_every_rate_and_seed_of_every_strategy_under_names_of_their_own() -> None:
    recipes = recipes_of(Study(("pre", "post", "pre"), seeds=2, learning_rates=(2e-3, 1e-3)))
    assert len(recipes) == len({recipe.name for recipe in recipes}) == 8
    assert [recipe.seed for recipe in recipes] == [0] * 4 + [1] * 4
    assert len({recipe.group for recipe in recipes}) == 1
    assert len({replace(recipe, strategy="", lr=1.0, seed=0) for recipe in recipes}) == 1


def test_data_order_depends_on_the_seed_alone() -> None:
    text = bytes(range(256)) * 20
    first, other_rate, other_seed = (
        [ids.tolist() for ids, _ in random_batches(text, Recipe(s, steps=3, lr=lr, seed=seed, study="s"))]
        for s, lr, seed in (("pre", 1e-3, 0), ("post", 2e-3, 0), ("pre", 1e-3, 1))
    )
    assert first == other_rate
    assert first != other_seed


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"strategies": ()}, "expected at least one strategy to compare"),
        ({"strategies": ("up",)}, "expected a strategy out of"),
        ({"learning_rates": ()}, "expected at least one learning rate"),
        ({"learning_rates": (0.0,)}, "expected lr to be a number above 0, but got 0.0"),
        ({"seeds": 0}, "expected seeds to be a whole number of at least 1, but got 0"),
        ({"layers": 1}, "expected layers to be a whole number of at least 2, but got 1"),
        ({"steps": 0}, "expected steps to be a whole number of at least 1, but got 0"),
    ],
)
def test_what_cannot_be_compared_is_said_first(wrong: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(DepthscopeError, match=says):
        run_compare(**{"strategies": ("pre",), **wrong}, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_ranks_only_where_each_best_rate_is_interior() -> None:
    inside = curve("pre", (2.2, 2.1, 2.3)) + curve("post", (2.1, 2.0, 2.05))
    assert ranking(standings(inside)) == (["post", "pre"], "")
    edge = curve("pre", (2.2, 2.1, 2.3)) + curve("post", (2.1, 2.0, 1.9))
    assert ranking(standings(edge)) == ([], "the best learning rate of post is at the edge of the grid: widen --lr")
    assert "No ranking by loss: the best learning rate of post" in printed(edge, 12)
    assert "Ranking by held-out loss: post < pre" in printed(inside, 12)
    assert "No ranking by loss: not all runs have ended" in printed(inside, 13)
    one_rate = [result("pre", 1e-3, 0, 2.0), result("post", 1e-3, 0, 1.9)]
    assert ranking(standings(one_rate))[0] == []
    uneven = curve("pre", (2.2, 2.1, 2.3), seeds=3) + curve("post", (2.1, 2.0, 2.05))
    assert "different numbers of seeds" in ranking(standings(uneven))[1]


def test_a_rate_at_which_a_run_diverged_is_not_the_best() -> None:
    results = [r for r in curve("pre", (2.2, 2.1, 2.0)) if (r.recipe.lr, r.recipe.seed) != (4e-3, 1)]
    results.append(result("pre", 4e-3, 1, 1.5, diverged=True))
    (standing,) = standings(results)
    assert (standing.learning_rate, standing.interior, standing.diverged) == (2e-3, True, 1)
    lost = [result("keel", lr, 0, 3.0, diverged=True) for lr in (1e-3, 2e-3)]
    assert ranking(standings(results + lost)) == ([], "keel diverged at every learning rate")
    assert "diverged" in printed(results + lost, 8)


def test_seeds_are_compared_in_pairs() -> None:
    results = curve("pre", (2.2, 2.1, 2.3)) + curve("post", (2.1, 2.0, 2.05))
    (points,) = differences(standings(results)).values()
    assert points == pytest.approx([-0.1, -0.1])
    assert "post minus pre, seed by seed: -0.1000, -0.1000 (n=2)" in printed(results, 12)


def test_slopes_of_different_laws_are_not_averaged() -> None:
    first, second = curve("pre", (2.2, 2.1, 2.3))[2:4]
    text = printed([first, replace(second, growth_slope=0.2, growth_law="exponential")], 2)
    assert "0.2 exponential (1 of 2), 1 linear (1 of 2)" in text


def test_growth_laws() -> None:
    layers = range(1, 13)
    line = pd.Series([0.01, *(3.0 * n for n in layers if n > 1)], index=list(layers))
    law, slope = growth(line)
    assert (law, slope) == ("linear", pytest.approx(3.0))
    law, slope = growth(pd.Series([math.exp(0.3 * n) for n in layers], index=list(layers)))
    assert (law, slope) == ("exponential", pytest.approx(0.3))
    assert growth(pd.Series([1.0] * 12, index=list(layers)))[0] == "linear"
    assert growth(pd.Series([1.0, 2.0], index=[1, 2])) == ("", None)
    assert growth(pd.Series([1.0, math.nan, 2.0, 3.0, 4.0], index=[1, 2, 3, 4, 5])) == ("", None)


def test_gradient_skew_leaves_block_1_out() -> None:
    assert skew(pd.Series([100.0, 1.0, 1.0, 3.0, 3.0], index=[1, 2, 3, 4, 5])) == pytest.approx(3.0)
    assert skew(pd.Series([1.0], index=[1])) is None


def test_deep_skip_is_of_single_blocks_of_the_deeper_half_with_the_last_weights() -> None:
    rows = [(10, layer, 1, delta) for layer, delta in enumerate([9.0, 0.5, 0.1, 0.3], 1)]
    rows += [(10, 3, 2, 7.0), (5, 4, 1, 8.0)]  # two blocks at once; earlier weights
    frame = pd.DataFrame(rows, columns=["step", "layer", "span", "delta"])
    assert deep_skip(frame) == pytest.approx(0.2)
    assert deep_skip(frame[:0]) is None


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    store = tmp_path / "store"
    recipes = recipes_of(Study(("pre", "keel"), **TINY, seeds=1, learning_rates=(1e-3, 2e-3)))
    quiet = Console(file=io.StringIO())
    assert train_all(recipes[:1], store, quiet) == 0
    before = read_results(open_store(store), recipes)
    assert list(before) == recipes[:1]
    console, out = Console(file=io.StringIO()), Console(file=io.StringIO(), width=250)
    asked = {**TINY, "seeds": 1, "learning_rates": (1e-3, 2e-3), "store": store}
    assert run_compare(("pre", "keel"), **asked, console=console, out=out) == 0
    assert "1 of 4 runs are in" in console.file.getvalue()
    after = read_results(open_store(store), recipes)
    assert set(after) == set(recipes)
    assert len(open_store(store).runs()) == 4
    assert after[recipes[0]] == before[recipes[0]]
    for each in after.values():
        assert math.isfinite(each.final_loss)
        assert each.best_loss <= each.final_loss
        assert None not in (each.growth_slope, each.gradient_skew, each.kurtosis, each.deep_skip, each.step_seconds)
    assert "No ranking by loss" in out.file.getvalue()
    assert "runs have ended" not in out.file.getvalue()


def test_divergence_is_reported_and_stops_no_other(tmp_path: Path) -> None:
    store, out = tmp_path / "store", Console(file=io.StringIO(), width=250)
    rates = (1e-3, 1e30)
    console = Console(file=io.StringIO())
    asked = {**TINY, "seeds": 1, "learning_rates": rates, "store": store}
    assert run_compare(("pre",), **asked, console=console, out=out) == 0
    found = read_results(open_store(store), recipes_of(Study(("pre",), **TINY, seeds=1, learning_rates=rates)))
    assert {each.recipe.lr: each.diverged for each in found.values()} == {1e-3: False, 1e30: True}
    assert "diverged" in out.file.getvalue()


def test_command_tells_errors_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--strategies", "pre,up"]) == 2
    assert capsys.readouterr().err.startswith("depthscope: expected a strategy out of")
