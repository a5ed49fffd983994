"""What held-out measurements say: idle deep blocks, blocks and weights that can go, and sudden near-zero weights."""

import math

import pandas as pd
import pytest
from finding_frames import BLOCKS, find, frames, silent
from synthetic import SyntheticRun, make_store

from depthscope.app.findings import RunFrames, diagnose_runs

LOSS = 2.0


def skips(cost, steps=(300, 400, 500), se=0.001, **more) -> RunFrames:
    rows = [
        {"step": step, "layer": layer, "loss": LOSS + cost(layer), "delta": cost(layer), "delta_se": se, "tokens": 9}
        for step in steps
        for layer in BLOCKS
    ]
    return frames(skips=pd.DataFrame(rows), **more)


def removals(*rows: tuple[str, int, float], se=0.001) -> RunFrames:
    frame = pd.DataFrame(rows, columns=["ranking", "span", "delta"])
    return frames(removals=frame.assign(step=500, loss=LOSS + frame["delta"], delta_se=se))


def drops(sparsity=0.4, control: float | None = 0.9, scope="matrix", **more) -> RunFrames:
    rows = [("current", sparsity, True, 500)] + ([("init", control, False, 0)] if control is not None else [])
    frame = pd.DataFrame(rows, columns=["weights", "sparsity", "reached", "step"])
    fixed = {"scope": scope, "ranking": "magnitude", "definition": "oneshot_ce_1pct", "loss": LOSS}
    return frames(drops=frame.assign(**fixed), **more)


def jumps(increase: float, z: float, evaluations=8) -> RunFrames:
    row = {"threshold": 0.001, "from_step": 300, "step": 400, "near_zero": 0.3, "increase": increase, "z": z}
    return frames(jumps=pd.DataFrame([{"evaluations": evaluations, **row}]))


def fluctuation(*distances: float) -> RunFrames:
    steps = [10 * n for n in range(len(distances))]
    return frames(fluctuation=pd.DataFrame({"step": steps, "distance": distances, "layer": 3.0, "site": "attn"}))


def fades(layer: int) -> float:
    return 1.5 if layer == 1 else 0.1 if layer <= 6 else 0.002


class TestIdleBlocks:
    def test_deep_blocks_that_cost_nothing_are_a_warning_with_their_error(self):
        finding = find("idle_blocks", skips(fades))
        assert finding.severity == "warning" and finding.confidence == "high"
        assert "6 of 6 deep blocks (layers 7–12) cost less than 1% of the loss to skip at step 500" in finding.sentence
        assert "+0.0020 ± 0.0010 nats a token, against +0.1000 in the early half" in finding.sentence
        assert finding.evidence.layers == tuple(range(7, 13)) and finding.evidence.metric == "skip_loss"

    def test_blocks_that_cost_something_are_fine(self):
        finding = find("idle_blocks", skips(lambda layer: 0.1))
        assert finding.severity == "ok" and not finding.evidence.layers

    def test_a_model_whose_blocks_are_all_cheap_has_no_matter_of_depth(self):
        assert find("idle_blocks", skips(lambda layer: 0.002)).severity == "ok"

    def test_too_wide_an_error_proves_nothing(self):
        assert find("idle_blocks", skips(fades, se=0.05)).severity == "ok"

    def test_a_young_run_is_only_noted(self):
        finding = find("idle_blocks", skips(fades, last_step=50))
        assert finding.severity == "info" and finding.confidence == "low"

    def test_one_evaluation_is_believed_for_its_known_error_but_less(self):
        assert find("idle_blocks", skips(fades, steps=(500,))).confidence == "medium"

    @pytest.mark.parametrize(
        "data", [frames(), skips(lambda layer: math.nan), skips(fades, se=math.nan), skips(fades, n_layers=3)]
    )
    def test_without_a_measurement_it_says_nothing(self, data):
        assert silent("idle_blocks", data)


class TestRemovableBlocks:
    def test_the_most_blocks_that_go_for_less_than_one_percent_are_noted(self):
        curve = [("greedy", 1, 0.001), ("greedy", 2, 0.01), ("greedy", 3, 0.3), ("last_k", 1, 0.02)]
        finding = find("removable_blocks", removals(*curve))
        assert finding.severity == "info"
        assert "2 of 12 blocks (chosen one after the other, the cheapest each time) can be" in finding.sentence
        assert "removed together for +0.0100 ± 0.0010" in finding.sentence

    def test_random_blocks_are_a_control_and_no_recipe(self):
        assert silent("removable_blocks", removals(("random", 2, 0.0)))

    def test_one_block_of_twelve_is_not_worth_a_note(self):
        assert find("removable_blocks", removals(("greedy", 1, 0.001), ("greedy", 2, 0.5))).severity == "ok"

    def test_a_model_that_needs_every_block_is_fine(self):
        finding = find("removable_blocks", removals(("greedy", 1, 0.2), ("last_k", 1, 0.4)))
        assert finding.severity == "ok" and "the cheapest costs +0.2000" in finding.sentence

    def test_a_wide_error_is_no_proof_of_cheapness(self):
        assert find("removable_blocks", removals(("greedy", 4, 0.001), se=0.02)).severity == "ok"

    def test_without_a_measurement_it_says_nothing(self):
        assert silent("removable_blocks", frames())


class TestEssentialSparsity:
    def test_it_is_told_with_its_control(self):
        finding = find("essential_sparsity", drops())
        assert finding.severity == "info" and finding.confidence == "medium"
        assert "40% of the weights of the blocks, the smallest in each matrix" in finding.sentence
        assert finding.sentence.endswith("of untrained weights at least 90%.")

    def test_without_a_control_and_in_young_runs_it_is_hardly_believed(self):
        finding = find("essential_sparsity", drops(control=None))
        assert finding.confidence == "low" and "were not measured beside them" in finding.sentence
        young = find("essential_sparsity", drops(last_step=50))
        assert young.confidence == "low" and "only 50 steps so far" in young.sentence

    def test_a_global_ranking_serves_where_there_is_no_other(self):
        assert "in all matrices together" in find("essential_sparsity", drops(scope="global")).sentence

    def test_without_a_measurement_it_says_nothing(self):
        assert silent("essential_sparsity", frames())


class TestAbruptSparsification:
    def test_a_sudden_rise_is_noted_with_its_interval(self):
        finding = find("abrupt_sparsification", jumps(0.2, 9.0))
        assert finding.severity == "info" and finding.evidence.steps == (300, 400)
        assert "rose by 20.0% of all, to 30.0%, between steps 300 and 400" in finding.sentence

    @pytest.mark.parametrize(("increase", "z"), [(0.2, 2.0), (0.01, 9.0), (0.2, math.nan)])
    def test_a_drift_is_fine(self, increase, z):
        assert find("abrupt_sparsification", jumps(increase, z)).severity == "ok"

    def test_a_share_that_never_rose_is_fine(self):
        assert find("abrupt_sparsification", jumps(math.nan, math.nan)).severity == "ok"

    def test_few_evaluations_say_nothing(self):
        assert silent("abrupt_sparsification", jumps(0.2, 9.0, evaluations=3))
        assert silent("abrupt_sparsification", frames())


class TestBatchFluctuation:
    def test_large_and_growing_distances_are_a_warning(self):
        finding = find("batch_fluctuation", fluctuation(*[0.02] * 8, 40.0))
        assert finding.severity == "warning" and finding.confidence == "high"
        assert "40 from the running ones in layer 3 at step 80, 2e+03× what was usual" in finding.sentence
        assert finding.evidence.layers == (3,) and finding.evidence.site == "attn"

    def test_a_peak_that_is_over_is_fine(self):
        assert find("batch_fluctuation", fluctuation(0.1, 0.27, *[0.01] * 8)).severity == "ok"

    def test_without_batch_norms_it_says_nothing(self):
        assert silent("batch_fluctuation", frames())


def test_from_a_store_to_its_findings(tmp_path):
    runs = [SyntheticRun("pre", "pre"), SyntheticRun("post", "post")]
    store = make_store(tmp_path / "store", runs, layers=12, steps=20, evaluated=True)
    found = {
        run: {each.name: each for each in findings} for run, findings in diagnose_runs(store, ["pre", "post"]).items()
    }
    assert found["pre"]["idle_blocks"].severity in ("info", "warning")
    assert "layers 7–12" in found["pre"]["idle_blocks"].sentence
    assert found["post"]["idle_blocks"].severity == "ok"
    assert "can be removed together" in found["pre"]["removable_blocks"].sentence
    assert "of untrained weights at least 90%" in found["pre"]["essential_sparsity"].sentence
    assert "abrupt_sparsification" not in found["pre"] and "batch_fluctuation" not in found["pre"]
