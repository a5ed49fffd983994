"""The findings on the recorded runs and the page of claims say the same of the same runs, whatever the claims come to.

Nothing here asks that a strategy does better than another: where a claim is shown, not shown or opposite for a seed, no
finding on the runs of that seed may say the contrary, and both give the same numbers.
"""

import re

import pytest

from depthscope.app.findings import Finding, diagnose_runs
from depthscope.sample_runs.reproduction import CLAIMS, Claim, Verdict
from depthscope.sample_runs.reproduction.evidence import Runs

Said = dict[str, dict[str, Finding]]

HELD_AGAINST = (
    *("grows exponentially with depth", "grows linearly with depth"),
    *("grows more over depth than under Peri-LN", "slows the growth of the variance"),
    *("deep blocks matter less than early ones", "LayerNorm Scaling deep blocks do more"),
    *("blocks do more under Mix-LN", "turn the stream more under Mix-LN"),
    *("more even over depth under Peri-LN", "more even over depth under Mix-LN"),
)
"""Words of the claims that findings speak of too."""


@pytest.fixture(scope="module")
def seeds(recorded_store) -> list[tuple[Runs, Said]]:
    """The recorded runs of each seed, and strategy -> finding name -> finding."""
    every = Runs.by_seed(recorded_store)
    found = diagnose_runs(recorded_store, [run for runs in every for run in runs.names.values()])
    return [
        (runs, {strategy: {each.name: each for each in found[run]} for strategy, run in runs.names.items()})
        for runs in every
    ]


def claim(words: str) -> Claim:
    return next(each for each in CLAIMS if words in each.claim)


def number(pattern: str, finding: Finding) -> float:
    found = re.search(pattern, finding.sentence)
    assert found, f"{pattern} is not in: {finding.sentence}"
    return float(found[1].replace(",", ""))


def factor(finding: Finding) -> float:
    """By how much the variance grows from layer 2 on."""
    return number(r"(?:grows|by a factor of) ([\d.,]+\d)", finding)


def test_there_are_several_seeds_and_every_verdict_is_among_the_claims(seeds):
    """Else something below was never tried. Findings say nothing of which strategy ends with a lower loss."""
    assert len(seeds) == 3
    verdicts = {claim(words).look(runs).verdict for words in HELD_AGAINST for runs, _ in seeds}
    assert verdicts == set(Verdict)


def test_the_law_of_growth_is_named_from_the_same_fits(seeds):
    for runs, said in seeds:
        for strategy, found in said.items():
            sentence = found["variance_growth"].sentence
            if ": flat." in sentence:
                continue
            r2 = runs.fit(strategy)
            assert f"R² {r2['exponential']:.3f} exponential, {r2['line']:.3f} linear" in sentence
            if ", exponentially:" in sentence:
                assert r2["exponential"] > r2["line"], strategy


@pytest.mark.parametrize(
    ("words", "strategy", "law"),
    [
        ("grows exponentially with depth", "pre", "exponentially:"),
        ("grows linearly with depth", "peri", "not exponentially:"),
    ],
)
def test_a_law_that_a_seed_shows_is_the_one_that_is_named(seeds, words, strategy, law):
    for runs, said in seeds:
        if claim(words).look(runs).verdict is Verdict.SHOWN:
            assert f", {law}" in said[strategy]["variance_growth"].sentence


@pytest.mark.parametrize("words", ["grows more over depth than under Peri-LN", "slows the growth of the variance"])
def test_of_two_strategies_the_same_one_grows_more(seeds, words):
    for runs, said in seeds:
        verdict, (first, second) = claim(words).look(runs).verdict, claim(words).strategies
        ratio = factor(said[first]["variance_growth"]) / factor(said[second]["variance_growth"])
        assert {Verdict.SHOWN: ratio > 1, Verdict.OPPOSITE: ratio < 1}.get(verdict, True), f"{verdict}: {ratio}"


def test_costs_of_skipping_are_the_same_numbers_and_idle_means_cheaper_than_the_early_half(seeds):
    for runs, said in seeds:
        for strategy, found in said.items():
            finding, deep, early = (
                found["idle_blocks"],
                *(runs.mean_skip(strategy, deep=deep) for deep in (True, False)),
            )
            assert number(r"average ([+-][\d.]+)", finding) == pytest.approx(deep.value, abs=5e-5)
            assert number(r"against ([+-][\d.]+)", finding) == pytest.approx(early.value, abs=5e-5)
            if finding.severity != "ok":
                assert deep.value < early.value, strategy


def test_deep_blocks_that_matter_as_much_are_never_called_idle(seeds):
    matter_less = claim("deep blocks matter less than early ones")
    for runs, said in seeds:
        if matter_less.look(runs).verdict is not Verdict.SHOWN:
            assert said["pre"]["idle_blocks"].severity == "ok"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("LayerNorm Scaling deep blocks do more", "idle_blocks"),
        ("blocks do more under Mix-LN", "idle_blocks"),
        ("turn the stream more under Mix-LN", "curse_of_depth"),
    ],
)
def test_of_two_strategies_the_one_whose_deep_blocks_do_more_is_not_the_idle_one(seeds, words, name):
    for runs, said in seeds:
        verdict, (first, second) = claim(words).look(runs).verdict, claim(words).strategies
        idle = {strategy: said[strategy][name].severity != "ok" for strategy in (first, second)}
        assert not (verdict is Verdict.SHOWN and idle[first] and not idle[second])
        assert not (verdict is Verdict.OPPOSITE and idle[second] and not idle[first])


def test_angles_of_the_deep_half_are_the_same_numbers(seeds):
    for runs, said in seeds:
        for strategy, found in said.items():
            angle = number(r"mean angle ([\d.]+) against", found["curse_of_depth"])
            assert angle == pytest.approx(runs.deep_distance(strategy), abs=5e-4)


@pytest.mark.parametrize("words", ["more even over depth under Peri-LN", "more even over depth under Mix-LN"])
def test_gradients_shown_to_be_even_do_not_vanish(seeds, words):
    for runs, said in seeds:
        if claim(words).look(runs).verdict is Verdict.SHOWN:
            found = said[claim(words).strategies[0]]
            assert found["gradient_flow"].severity == "ok" and found["gradient_skew"].severity == "ok"


def test_batch_statistics_fluctuate_by_the_same_numbers(seeds):
    for runs, said in seeds:
        peak, finding = float(runs.fluctuation("power").max()), said["power"]["batch_fluctuation"]
        assert finding.severity != "ok" or f"largest distance was {peak:.3g}" in finding.sentence
