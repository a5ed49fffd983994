"""Recipes: the sets that ship differ inside by strategy only, and what cannot be trained says so."""

from dataclasses import replace

import pytest

from depthscope.sample_runs import STRATEGIES
from depthscope.sample_runs.recipes import RUNS, STANDARD, Recipe, check_recipe, from_json, to_json
from depthscope.store import DepthscopeError


@pytest.mark.parametrize("recipes", RUNS.values(), ids=list(RUNS))
def test_runs_of_a_set_differ_by_strategy_only(recipes: tuple[Recipe, ...]) -> None:
    assert {replace(recipe, strategy="pre") for recipe in recipes} == {recipes[0]}
    assert len({recipe.group for recipe in recipes}) == 1
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    for recipe in recipes:
        check_recipe(recipe)


def test_what_the_sets_promise() -> None:
    assert RUNS["demo"][0].layers == 12
    assert tuple(recipe.strategy for recipe in RUNS["demo"]) == STANDARD
    recorded = RUNS["recorded"]
    assert recorded[0].layers == 24
    assert tuple(recipe.strategy for recipe in recorded) == tuple(STRATEGIES)


def test_json_and_back() -> None:
    recipe = Recipe("lns", layers=3, lr=0.5, norm="layer")
    assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize("text", ["", "[]", "3", '{"strategy": "pre", "colour": 1}', "{}"])
def test_what_is_no_recipe_says_so(text: str) -> None:
    with pytest.raises(DepthscopeError, match="expected a recipe as a JSON object of strategy, layers"):
        from_json(text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "sideways"}, f"expected a strategy out of {', '.join(STRATEGIES)}, but got 'sideways'"),
        ({"layers": 1}, "expected layers to be a whole number of at least 2, but got 1"),
        ({"steps": 0}, "expected steps to be a whole number of at least 1, but got 0"),
        ({"steps": True}, "expected steps to be a whole number of at least 1, but got True"),
        ({"seed": -1}, "expected seed to be a whole number of at least 0, but got -1"),
        ({"lr": float("inf")}, "expected lr to be a number above 0, but got inf"),
        ({"warmup": 2}, "expected warmup to be a share of the steps between 0 and 1, but got 2"),
        ({"norm": "batch"}, "expected norm to be one of rms, layer, but got 'batch'"),
    ],
)
def test_what_cannot_be_trained_says_so(wrong: dict, message: str) -> None:
    with pytest.raises(DepthscopeError) as error:
        check_recipe(replace(Recipe("pre"), **wrong))
    assert str(error.value) == message
