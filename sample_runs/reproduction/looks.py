"""Ways to look at a claim: each takes strategies and gives a function from the runs of one seed to their evidence."""

import math
from collections.abc import Callable

from .evidence import Measured, Runs
from .verdict import Evidence, Verdict, larger, larger_by, weakest

__all__ = [
    "STRAIGHT",
    "deep_blocks_do_more",
    "deep_blocks_matter_less",
    "deep_blocks_turn_more",
    "fluctuates",
    "grows_exponentially",
    "grows_linearly",
    "more_even_gradients",
    "more_growth",
]

Look = Callable[[Runs], Evidence]

STRAIGHT = 0.95
"""R² from which on a curve is called a line."""

SKIP = "mean loss of skipping one block, in nats"


def by_ratio(measured: str, of: Callable[[Runs, str], float], pairs: tuple[tuple[str, str], ...]) -> Look:
    """The first of each pair is larger than the second, by the margin."""

    def look(runs: Runs) -> Evidence:
        values = {strategy: of(runs, strategy) for pair in pairs for strategy in pair}
        ratios = {f"{first} / {second}": ratio(values[first], values[second]) for first, second in pairs}
        verdicts = [larger(values[first], values[second]) for first, second in pairs]
        return Evidence(measured, values, ratios, weakest(verdicts))

    return look


def ratio(first: float, second: float) -> float:
    return first / second if second else math.inf


def by_difference(measured: str, first: tuple[str, Measured], second: tuple[str, Measured]) -> Evidence:
    """The first is larger than the second by more than twice the standard error of the difference."""
    (name, high), (other, low) = first, second
    noise = 2 * (high.error**2 + low.error**2) ** 0.5
    difference = high.value - low.value
    values, pairs = {name: high.value, other: low.value}, {f"{name} - {other}": difference}
    return Evidence(measured, values, pairs, larger_by(difference, noise))


def more_growth(faster: str, slower: str) -> Look:
    """Variance of the stream grows more over depth for one strategy than for the other."""
    return by_ratio("variance after the last block over that after the first", Runs.growth, ((faster, slower),))


def more_even_gradients(even: str, others: tuple[str, ...]) -> Look:
    """The blocks' gradient norms are closer together for one strategy than for each of the others."""
    measured = "standard deviation over mean of the blocks' gradient norms, second half of training"
    return by_ratio(measured, Runs.gradient_spread, tuple((other, even) for other in others))


def deep_blocks_turn_more(strategy: str, other: str) -> Look:
    """Blocks of the deep half turn the stream by a larger angle under one strategy than under the other."""
    return by_ratio("mean angular distance over a block of the deep half", Runs.deep_distance, ((strategy, other),))


def laws(runs: Runs, strategy: str, first: str, second: str) -> Evidence:
    """Two laws of variance against depth; the claim of the first is shown where it describes the curve better."""
    r2 = runs.fit(strategy)
    difference = r2[first] - r2[second]
    verdict = Verdict.SHOWN if difference > 0 else Verdict.OPPOSITE
    values, pairs = {first: r2[first], second: r2[second]}, {f"{first} - {second}": difference}
    return Evidence(f"R² of {strategy}'s variance over layers 2 to L at the end", values, pairs, verdict)


def grows_exponentially(strategy: str) -> Look:
    """An exponential describes variance against depth better than a line."""
    return lambda runs: laws(runs, strategy, "exponential", "line")


def grows_linearly(strategy: str) -> Look:
    """A line describes variance against depth, and better than an exponential."""

    def look(runs: Runs) -> Evidence:
        found = laws(runs, strategy, "line", "exponential")
        if found.verdict is Verdict.SHOWN and found.values["line"] < STRAIGHT:
            return Evidence(found.measured, found.values, found.pairs, Verdict.NOT_SHOWN)
        return found

    return look


def deep_blocks_matter_less(strategy: str) -> Look:
    """Skipping a block of the deep half costs less than skipping one of the first half."""

    def look(runs: Runs) -> Evidence:
        early, deep = (runs.mean_skip(strategy, deep=deep) for deep in (False, True))
        return by_difference(f"{SKIP}, {strategy}", ("first half without block 1", early), ("deep half", deep))

    return look


def deep_blocks_do_more(strategy: str, other: str) -> Look:
    """Skipping a block of the deep half costs more under one strategy than under the other."""

    def look(runs: Runs) -> Evidence:
        first, second = (runs.mean_skip(name, deep=True) for name in (strategy, other))
        return by_difference(f"{SKIP}, deep half", (strategy, first), (other, second))

    return look


def fluctuates(strategy: str) -> Look:
    """Batch variances lie farther from the running ones at some time of the training than at its end."""

    def look(runs: Runs) -> Evidence:
        worst = runs.fluctuation(strategy)
        largest, last = float(worst.max()), float(worst.iloc[-1])
        measured = "distance of batch variances from running ones, largest over the layers"
        values = {"at its largest": largest, "at the end": last}
        return Evidence(measured, values, {"largest / end": ratio(largest, last)}, larger(largest, last))

    return look
