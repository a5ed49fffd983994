"""The counting behind docs/confusion.md: what is true of a run, what was said of it, and the intervals."""

import json
import sys
from pathlib import Path

import pytest

from depthscope.app.findings import FINDINGS, Evidence, Finding

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

from confusion_faults import FAULTS  # noqa: E402
from confusion_kinds import Where  # noqa: E402
from confusion_page import page  # noqa: E402
from confusion_table import LEFT_OUT, ROWS, Judged, Share, at, counts, judged, wrong  # noqa: E402
from confusion_train import cases  # noqa: E402

CASES = list(cases())


def case_of(name: str):
    return next(case for case in CASES if case.fault.name == name)


def finding(name: str, severity: str, sentence: str = "", layers=(), steps=(0, 0)) -> Finding:
    evidence = Evidence("r", "m", "s", "train", "main", tuple(layers), steps)
    return Finding(name, name, severity, sentence, evidence, "rule", "source", "high", "advice")


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # From the closed form of Wilson's interval, as statistical packages print it.
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1, 3, 0.0615, 0.7923), (0, 0, 0.0, 1.0)],
)
def test_the_interval_is_wilsons(k, n, low, high):
    assert Share(k, n).interval() == pytest.approx((low, high), abs=5e-5)


def test_every_finding_is_counted_or_left_out_on_purpose():
    assert {row.finding for row in ROWS} | set(LEFT_OUT) == set(FINDINGS)


def test_every_truth_is_about_a_statement_that_is_read_and_every_statement_has_a_truth():
    keys = {row.key for row in ROWS}
    must = {key for fault in FAULTS for key in fault.must}
    never = {key for fault in FAULTS for key in fault.never}
    assert must | never <= keys and must | {"undertrained"} == keys
    assert all(set(fault.must).isdisjoint(fault.never) for fault in FAULTS)


def test_no_run_shares_its_seed_or_size_with_those_that_thresholds_were_set_with():
    assert not {case.recipe.seed for case in CASES} & {0, 1, 2}
    assert not {(case.recipe.layers, case.recipe.width) for case in CASES} & {(24, 64), (6, 32), (12, 64)}


def test_what_is_missed_found_and_misplaced_is_told_apart():
    case = case_of("nan-element")
    said = f"Non-finite values start in the activation of layer {case.k} (mlp_out) at step {case.s}"

    def of(*found: Finding) -> Judged:
        return next(one for one in judged(case, {each.name: each for each in found}) if one.key == "nonfinite")

    right = of(finding("nonfinite", "critical", said, steps=(case.s, 99)))
    assert (right.true, right.made, right.layer_right, right.step_right) == (True, True, True, True)
    late = of(finding("nonfinite", "critical", said, steps=(case.s + 6, 99)))
    assert late.layer_right is True and late.step_right is False
    assert of(finding("nonfinite", "ok")).made is False and of().made is False
    assert wrong([right]) == [] and len(wrong([late, of()])) == 2


def test_what_is_open_is_not_counted_nor_what_was_not_measured():
    sound = case_of("sound")
    heavy = judged(sound, {"heavy_tails": finding("heavy_tails", "info")})
    assert not [one for one in heavy if one.key == "heavy"], "nobody knows whether a sound run has heavy tails"
    assert not [one for one in heavy if one.key == "nonfinite"], "nothing was measured"
    spike = judged(sound, {"loss_spike": finding("loss_spike", "warning")})
    assert [(one.true, one.made) for one in spike if one.key in ("loss_spike", "any")] == [(False, True)] * 2


def test_counts_keep_true_and_false_apart():
    every = [
        Judged("a", "x", "dead", true, made, "", place)
        for true, made, place in [
            (True, True, True),
            (True, True, False),
            (True, False, None),
            (False, True, None),
            (False, False, None),
        ]
    ]
    found = counts(every, "dead")
    assert found == {"found": Share(2, 3), "false": Share(1, 2), "layers": Share(1, 2), "steps": Share(0, 0)}


def test_layers_that_are_named_are_read_from_the_sentence():
    row = next(row for row in ROWS if row.key == "gradient_flow")
    vanish = finding("gradient_flow", "warning", "block 8 gets 1, block 2 1e-9. It starts at block 5, the first that")
    assert at(row, vanish, Where((5,))) == (True, None) and at(row, vanish, Where((4,))) == (False, None)


def test_the_page_is_made_from_the_newest_results():
    results = max((ROOT / "benchmarks" / "results").glob("confusion-*.json"))
    told = json.loads(results.read_text(encoding="utf-8"))
    every = [Judged(**one) for one in told.pop("judged")]
    assert len({one.run for one in every}) > 30
    assert (ROOT / "docs" / "confusion.md").read_text(encoding="utf-8") == page(told, every)
