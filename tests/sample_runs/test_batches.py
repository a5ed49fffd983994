"""The order of the data is a matter of the recipe alone."""

from dataclasses import replace

import torch

from depthscope.sample_runs import build_model
from depthscope.sample_runs.batches import random_batches, spaced_batch
from depthscope.sample_runs.recipes import STANDARD, Recipe, recipes_for

TEXT = bytes(range(256)) * 8
RECIPE = Recipe("pre", layers=2, width=8, heads=2, seq_len=5, batch=3, steps=4)


def starts(recipe: Recipe) -> list[list[int]]:
    return [ids_BT[:, 0].tolist() for ids_BT, _ in random_batches(TEXT, recipe)]


def test_targets_are_one_byte_further_on() -> None:
    for ids_BT, targets_BT in random_batches(TEXT, RECIPE):
        assert ids_BT.shape == targets_BT.shape == (3, 5)
        assert ids_BT.dtype == torch.long
        assert torch.equal(targets_BT, (ids_BT + 1) % 256)


def test_the_order_is_equal_for_all_strategies_whatever_their_models_draw() -> None:
    orders = []
    for recipe in recipes_for(RECIPE, STANDARD):
        order = []
        for ids_BT, _ in random_batches(TEXT, recipe):
            build_model(recipe.strategy, layers=2, width=8, heads=2)
            torch.rand(len(recipe.strategy))
            order.append(ids_BT.tolist())
        orders.append(order)
    assert all(order == orders[0] for order in orders)


def test_the_order_follows_the_seed() -> None:
    assert starts(RECIPE) == starts(RECIPE)
    assert starts(RECIPE) != starts(replace(RECIPE, seed=1))


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    assert starts(replace(RECIPE, steps=9))[:4] == starts(RECIPE)


def test_the_fixed_batch_is_spread_over_the_text() -> None:
    ids_BT, targets_BT = spaced_batch(TEXT, tokens=42, seq_len=10)
    assert ids_BT.shape == (4, 10)
    assert ids_BT[:, 0].tolist() == [start % 256 for start in (0, 509, 1018, 1527)]
    assert torch.equal(ids_BT[:, 1:], targets_BT[:, :-1])


def test_the_fixed_batch_has_a_row_even_where_one_is_too_many_tokens() -> None:
    assert spaced_batch(TEXT, tokens=4, seq_len=10)[0].shape == (1, 10)
