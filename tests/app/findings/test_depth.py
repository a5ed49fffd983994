"""What depth does to the stream: growth, explosion, idle deep blocks, and whether it is too early to tell."""

import math

import numpy as np
import pandas as pd
import pytest
from finding_frames import BLOCKS, STEPS, by_layer, find, frames, history, peaks, silent

from depthscope.app.findings import Finding, RunFrames


def stream(value, **more) -> RunFrames:
    return frames(stream=by_layer("variance", value), **more)


def angle(value, steps=STEPS, **more) -> RunFrames:
    blocks = by_layer("angular_distance", value, BLOCKS, steps)
    return frames(blocks=blocks, **({"stream": by_layer("variance", lambda layer: 1 + 6 * layer)} | more))


def idle(layer: int) -> float:
    return 0.02 if layer > 6 else 0.2


class TestVarianceGrowth:
    def test_exponential_growth_is_a_warning_with_its_rate(self):
        finding = find("variance_growth", stream(lambda layer: math.exp(0.3 * layer)))
        assert finding.severity == "warning"
        assert "exponentially: 1.35× a block" in finding.sentence and "20.1×" in finding.sentence
        assert finding.evidence.layers == tuple(range(2, 13)) and finding.evidence.steps == (100, 500)
        assert finding.confidence == "high"

    def test_linear_growth_is_only_noted(self):
        finding = find("variance_growth", stream(lambda layer: 1 + 6 * layer))
        assert finding.severity == "info" and "not exponentially: by about 6 a block" in finding.sentence
        assert "1.000 linear" in finding.sentence

    def test_less_than_twofold_growth_is_flat_whatever_its_law(self):
        assert find("variance_growth", stream(lambda layer: math.exp(0.06 * layer))).severity == "ok"

    def test_a_flat_stream_is_fine(self):
        assert find("variance_growth", stream(lambda layer: 1.0)).severity == "ok"

    def test_layer_1_does_not_count(self):
        # Embeddings of std 0.02: layer 0 and 1 are tiny, which looks like an explosion.
        assert find("variance_growth", stream(lambda layer: 4e-4 if layer < 2 else 1.0)).severity == "ok"

    def test_the_newest_step_counts_and_disagreement_lowers_the_confidence(self):
        old = by_layer("variance", lambda layer: 1.0, steps=STEPS[:-1])
        new = by_layer("variance", lambda layer: math.exp(0.3 * layer), steps=STEPS[-1:])
        finding = find("variance_growth", frames(stream=pd.concat([old, new])))
        assert finding.severity == "warning" and finding.confidence == "low"

    def test_a_mean_that_few_tokens_carry_is_only_noted(self):
        rows = by_layer("variance", lambda layer: math.exp(0.3 * layer)).assign(variance_median=1.0)
        finding = find("variance_growth", frames(stream=rows))
        assert finding.severity == "info" and "few tokens carry the mean" in finding.sentence

    def test_close_laws_of_mean_and_median_are_not_blamed_on_few_tokens(self):
        rows = by_layer("variance", lambda layer: 1 + 6 * layer)
        rows["variance_median"] = [math.exp(0.2 * layer) for layer in rows["layer"]]
        sentence = find("variance_growth", frames(stream=rows)).sentence
        assert "(exponential): the two laws lie too close to be told apart" in sentence

    def test_a_stream_that_no_law_describes_is_given_none(self):
        jagged = stream(lambda layer: 3.0 if layer == 12 else 1.0 + 9.0 * (layer % 2))
        finding = find("variance_growth", jagged)
        assert finding.severity == "info" and "neither exponentially nor along a line" in finding.sentence

    def test_a_young_run_is_only_noted(self):
        assert find("variance_growth", stream(lambda layer: math.exp(0.3 * layer), last_step=50)).severity == "info"

    def test_too_few_layers_say_nothing(self):
        assert silent("variance_growth", frames(stream=by_layer("variance", math.exp, range(5))))

    def test_nan_layers_are_left_out(self):
        values = by_layer("variance", lambda layer: math.nan if layer == 5 else 1.0)
        assert find("variance_growth", frames(stream=values)).severity == "ok"


class TestVarianceExplosion:
    def test_over_depth_it_is_critical_and_names_where_it_starts(self):
        finding = find("variance_explosion", stream(lambda layer: 1e6 if layer >= 9 else 1.0))
        assert finding.severity == "critical" and finding.evidence.layers == (9, 10, 11, 12)
        assert "layer 9 is the first past 10,000×, and block 9 makes the largest jump" in finding.sentence

    def test_over_time_it_is_a_warning_with_the_step_it_starts(self):
        grown = peaks("variance", [1.0] * 8 + [2000.0, 5000.0, 9000.0])
        finding = find("variance_explosion", stream(lambda layer: 1.0, peaks=grown))
        assert finding.severity == "warning" and finding.evidence.steps == (80, 100)
        assert "is 9e+03× what was usual" in finding.sentence and "step 100 in layer 12." in finding.sentence
        assert "In which layer it starts was not sampled." in finding.sentence

    def grown(self, folds: dict[int, float], usual=lambda layer: 1.0) -> Finding:
        largest = peaks("variance", [1.0] * 8 + [2000.0, 5000.0, 9000.0])
        rows = history("variance", usual, folds)
        return find("variance_explosion", stream(lambda layer: 1.0, peaks=largest, histories=rows))

    def test_over_time_it_names_where_it_starts_and_not_the_largest_layer(self):
        finding = self.grown(dict.fromkeys(range(5, 13), 2000.0), lambda layer: 1.0 + layer)
        assert "As sampled it starts in layer 5, at step 80 (2e+03× its own earlier values)." in finding.sentence
        assert finding.evidence.layers == (5,)

    def test_where_it_starts_may_have_grown_less_than_what_comes_after_but_not_hardly(self):
        assert self.grown({3: 2.5, 4: 60.0, 5: 900.0, 6: 2500.0}).evidence.layers == (4,)

    def test_a_layer_that_is_always_large_has_not_grown(self):
        assert self.grown({7: 3000.0}, lambda layer: 1e4 if layer == 2 else 1.0).evidence.layers == (7,)

    def test_only_steps_before_it_are_usual(self):
        rows = pd.concat(
            [history("variance", lambda layer: 1.0, {6: 4e3}), by_layer("value", lambda n: 9e9, [2], [90])]
        )
        largest = peaks("variance", [1.0] * 8 + [2000.0, 5000.0, 9000.0])
        data = stream(lambda layer: 1.0, peaks=largest, histories=rows.assign(metric="variance"))
        assert find("variance_explosion", data).evidence.layers == (6,)

    def test_the_embedding_is_called_by_its_name(self):
        rows = by_layer("value", lambda layer: 1.0, range(13), [0, 10]).assign(metric="variance")
        rows.loc[rows["step"] == 10, "value"] = 5000.0
        largest = peaks("variance", [1.0] + [5000.0] * 2 + [1.0] * 6 + [5000.0])
        sentence = find("variance_explosion", stream(lambda layer: 1.0, peaks=largest, histories=rows)).sentence
        assert "it starts in the embedding (layer 0), at step 10" in sentence

    @pytest.mark.parametrize("value", [lambda layer: 1.0, lambda layer: 1 + 6 * layer])
    def test_an_ordinary_stream_is_fine(self, value):
        steady = peaks("variance", [1.0 + 0.1 * i for i in range(11)])
        assert find("variance_explosion", stream(value, peaks=steady)).severity == "ok"

    def test_without_variance_it_says_nothing(self):
        assert silent("variance_explosion", frames())


class TestCurseOfDepth:
    def test_idle_deep_blocks_in_a_growing_stream_are_a_warning(self):
        finding = find("curse_of_depth", angle(idle))
        assert finding.severity == "warning" and "6 of 6 deep blocks (layers 7–12)" in finding.sentence
        assert "grows 5.6× over depth" in finding.sentence and finding.confidence == "medium"
        assert finding.evidence.layers == (7, 8, 9, 10, 11, 12)

    def test_in_a_flat_stream_they_are_only_noted(self):
        flat = by_layer("variance", lambda layer: 1.0)
        assert find("curse_of_depth", angle(idle, stream=flat)).severity == "info"

    def test_an_even_model_is_fine_however_small_its_blocks(self):
        # DeepNorm shrinks every branch alike: small angles, but not a matter of depth.
        assert find("curse_of_depth", angle(lambda layer: 0.03)).severity == "ok"

    def test_working_blocks_are_fine(self):
        assert find("curse_of_depth", angle(lambda layer: 0.2 - 0.01 * layer)).severity == "ok"

    def test_before_anything_is_learnt_it_is_only_noted_and_hardly_believed(self):
        finding = find("curse_of_depth", angle(idle, steps=(0, 1, 2, 4), last_step=4))
        assert finding.severity == "info" and finding.confidence == "low"

    def test_too_few_tokens_per_parameter_gate_it_too(self):
        assert find("curse_of_depth", angle(idle, tokens=1_000_000, n_params=1_000_000)).severity == "info"
        assert find("curse_of_depth", angle(idle, tokens=20_000_000, n_params=1_000_000)).severity == "warning"

    def test_block_influence_serves_where_the_angle_was_not_measured(self):
        blocks = by_layer("block_influence", lambda layer: 1 - np.cos(np.pi * idle(layer)), BLOCKS)
        finding = find("curse_of_depth", frames(blocks=blocks))
        assert "mean angle 0.020 against 0.200" in finding.sentence
        assert finding.evidence.metric == "block_influence"

    def test_too_few_blocks_say_nothing(self):
        assert silent("curse_of_depth", angle(idle, n_layers=3))


class TestUndertrained:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"last_step": 99}, "Only 99 steps so far (100 are asked for):"),
            (
                {"tokens": 4_900_000, "n_params": 1_000_000},
                "Only 4.9 training tokens per parameter so far (5 are asked for):",
            ),
        ],
    )
    def test_a_young_run_is_noted_with_the_reason(self, fields, said):
        finding = find("undertrained", frames(**fields))
        assert finding.severity == "info" and said in finding.sentence

    @pytest.mark.parametrize("fields", [{}, {"tokens": 5_000_000, "n_params": 1_000_000}, {"tokens": 0, "n_params": 9}])
    def test_an_old_run_and_one_of_unknown_age_say_nothing(self, fields):
        assert silent("undertrained", frames(**fields))
