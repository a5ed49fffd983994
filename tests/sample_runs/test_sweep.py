"""The sweep of learning rates: what is trained next, what is kept, and when its losses may be compared."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from depthscope.sample_runs import sweep as sweep_module
from depthscope.sample_runs.recipes import CLAIMED, SWEEP, SWEEP_RATES, SWEEP_WIDEN, Recipe, check_recipe
from depthscope.sample_runs.reproduction import CLAIMS, Claim
from depthscope.sample_runs.reproduction.losses import LossLook, lower_loss
from depthscope.sample_runs.reproduction.swept import judged, loss_table, sweep_of
from depthscope.sample_runs.sweep import Point, missing_rate, read_sweep, sweep
from depthscope.store import DepthscopeError

TINY = Recipe("pre", layers=2, width=8, heads=2, seq_len=8, batch=2, steps=2, evaluate_every=1, study="sweep")


def points(strategy: str, losses: dict[float, float | None], seed: int = 0) -> list[Point]:
    return [Point(strategy, lr, seed, loss, loss, loss is None) for lr, loss in losses.items()]


def rates_trained(best: float, seed: int = 0) -> list[float]:
    """The rates that are asked for, one by one, where the loss grows with the distance from the best rate."""
    have: list[Point] = []
    for _ in count():
        lr = missing_rate(have, "pre", seed, SWEEP_RATES)
        if lr is None:
            return sorted(point.lr for point in have)
        have += points("pre", {lr: abs(lr - best)}, seed)
    raise AssertionError


def test_rates_go_on_until_the_best_lies_between_two_others() -> None:
    low, middle, high = SWEEP_RATES
    assert rates_trained(middle) == [low, middle, high]
    assert rates_trained(high) == [low, middle, high, 2 * high]
    assert rates_trained(low) == [low / 2, low, middle, high]
    assert rates_trained(1e9)[-1] == high * 2**SWEEP_WIDEN  # and no further
    assert rates_trained(0.0)[0] == low / 2**SWEEP_WIDEN


def test_a_second_seed_trains_at_the_rates_of_the_first() -> None:
    first = points("pre", {2e-3: 3.0, 4e-3: 2.0, 8e-3: 1.0, 16e-3: 2.0})
    assert missing_rate(first, "pre", 0, SWEEP_RATES) is None
    second: list[Point] = []
    while (lr := missing_rate([*first, *second], "pre", 1, SWEEP_RATES)) is not None:
        second += points("pre", {lr: lr}, seed=1)  # its own best is the lowest, and that widens nothing
    assert sorted(point.lr for point in second) == [2e-3, 4e-3, 8e-3, 16e-3]


def test_a_strategy_that_always_diverges_is_done() -> None:
    assert missing_rate(points("pre", dict.fromkeys(SWEEP_RATES)), "pre", 0, SWEEP_RATES) is None


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "sweep.json"
    first = sweep(TINY, ("pre", "post"), (1e-3,), (0,), table)
    assert read_sweep(table) == (TINY, first)
    assert {point.strategy for point in first} == {"pre", "post"}
    assert all(point.best <= point.final and not point.diverged for point in first)
    trained: list[Recipe] = []
    real = sweep_module.train_point
    monkeypatch.setattr(
        sweep_module, "train_point", lambda recipe, corpus: trained.append(recipe) or real(recipe, corpus)
    )
    second = sweep(TINY, ("pre", "post", "peri"), (1e-3,), (0,), table)
    assert second[: len(first)] == first
    assert {recipe.strategy for recipe in trained} == {"peri"}
    with pytest.raises(DepthscopeError, match="another recipe or text made it"):
        sweep(replace(TINY, steps=3), ("pre",), (1e-3,), (0,), table)


def test_a_run_that_diverges_is_a_point(tmp_path: Path) -> None:
    found = sweep(replace(TINY, steps=8), ("pre",), (1e30,), (0,), tmp_path / "sweep.json")
    assert found[0] == Point("pre", 1e30, 0, None, found[0].best, diverged=True)
    assert found[0].best is not None


PRE = points("pre", {2e-3: 2.0, 4e-3: 1.5, 8e-3: 1.9}) + points("pre", {2e-3: 2.0, 4e-3: 1.6, 8e-3: 1.9}, seed=1)
PERI = points("peri", {2e-3: 1.5, 4e-3: 1.2, 8e-3: 1.3}) + points("peri", {2e-3: 1.5, 4e-3: 1.55, 8e-3: 1.9}, seed=1)
BETTER = Claim("p", "s", "is lower", ("peri", "pre"), lower_loss("peri", ("pre",)))


def test_losses_are_compared_at_the_best_rates_seed_by_seed() -> None:
    found = sweep_of(SWEEP, PRE + PERI)
    evidence, why_not = judged(found, BETTER)
    assert why_not == ""
    assert [each.pairs["pre - peri"] for each in evidence] == [pytest.approx(0.3), pytest.approx(0.05)]
    assert "| `pre` | 2 | 2.000 | **1.550** | 1.900 |" in loss_table(found)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ([], "peri was not swept"),
        (points("peri", {2e-3: 1.5, 4e-3: 1.2}), "peri was not swept"),
        (points("peri", dict.fromkeys(SWEEP_RATES)), "peri diverged at every rate"),
        (
            points("peri", {2.0**k * 1e-3: 9.0 - k for k in range(1, 4 + SWEEP_WIDEN)}),
            "the best rate of peri is at the edge of its grid",
        ),
    ],
    ids=["none", "incomplete", "diverged", "edge"],
)
def test_what_is_not_fair_is_not_judged(others: list[Point], why: str) -> None:
    assert judged(sweep_of(SWEEP, PRE + others), BETTER) == ([], why)


def test_the_recorded_sweep_is_of_the_committed_recipe() -> None:
    recipe, recorded = read_sweep()
    assert recipe == SWEEP
    check_recipe(recipe)
    assert {point.strategy for point in recorded} <= {*CLAIMED}
    assert len({(point.strategy, point.lr, point.seed) for point in recorded}) == len(recorded)
    losses = {strategy for claim in CLAIMS if isinstance(claim.look, LossLook) for strategy in claim.strategies}
    assert losses <= {*CLAIMED}
