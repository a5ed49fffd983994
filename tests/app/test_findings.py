"""Each diagnosis on frames that must set it off, and on frames that must not."""

import math

import pandas as pd
import pytest

from depthscope.app.findings import FINDINGS, Finding, RunFrames, diagnose
from depthscope.app.findings.agreement import agreement
from depthscope.app.findings.fits import exponential, linear
from depthscope.app.findings.frames import Losses, layer_range

STEPS = (100, 200, 300, 400, 500)


def by_layer(column: str, value, layers=range(13), steps=STEPS) -> pd.DataFrame:
    """A frame with `value(layer)` at every step."""
    rows = [{"step": step, "layer": layer, column: float(value(layer))} for step in steps for layer in layers]
    return pd.DataFrame(rows)


def frames(**fields) -> RunFrames:
    return RunFrames(**({"run": "r", "strategy": "pre", "n_layers": 12, "last_step": 500, "sampled": 5} | fields))


def find(name: str, data: RunFrames) -> Finding:
    finding = FINDINGS[name].run(data)
    assert finding is not None
    return finding


def stream(value, **more) -> RunFrames:
    return frames(stream=by_layer("variance", value), **more)


def gradients(value) -> RunFrames:
    return frames(gradients=by_layer("param_grad_norm", value, range(1, 13)))


def influence(value, steps=STEPS) -> RunFrames:
    return frames(blocks=by_layer("block_influence", value, range(1, 13), steps))


def massive(value: float, median: float, count: int) -> RunFrames:
    row = {"layer": 3, "rank": 1, "value": value, "median_abs": median, "count": count, "token": 0, "channel": 7}
    return frames(massive=pd.DataFrame([{"step": step, **row} for step in STEPS]))


def broken(first: int, last: int, **fields) -> pd.DataFrame:
    row = {"what": "activation", "site": "mlp_out", "layer": 7.0, "phase": "train", "total": 12}
    return pd.DataFrame([{**row, "first_step": first, "last_step": last, **fields}])


class TestVarianceGrowth:
    def test_exponential_growth_is_a_warning_with_its_rate(self):
        finding = find("variance_growth", stream(lambda layer: math.exp(0.3 * layer)))
        assert finding.severity == "warning"
        assert "0.300 e-folds a block" in finding.sentence and "20.1×" in finding.sentence
        assert finding.evidence.layers == tuple(range(2, 13)) and finding.evidence.steps == (100, 500)
        assert finding.confidence == "high"

    def test_growth_past_ten_thousand_fold_is_critical(self):
        assert find("variance_growth", stream(lambda layer: math.exp(layer))).severity == "critical"

    def test_linear_growth_is_only_noted(self):
        finding = find("variance_growth", stream(lambda layer: 1 + 6 * layer))
        assert finding.severity == "info" and "by 6 a block" in finding.sentence
        assert "1.000 linear" in finding.sentence

    def test_a_slow_exponential_is_not_called_one(self):
        assert find("variance_growth", stream(lambda layer: math.exp(0.04 * layer))).severity == "ok"

    def test_a_flat_stream_is_fine(self):
        assert find("variance_growth", stream(lambda layer: 1.0)).severity == "ok"

    def test_layer_1_does_not_count(self):
        # Embeddings of std 0.02: layer 0 and 1 are tiny, which looks like an explosion.
        finding = find("variance_growth", stream(lambda layer: 4e-4 if layer < 2 else 1.0))
        assert finding.severity == "ok"

    def test_the_newest_step_counts_and_disagreement_lowers_the_confidence(self):
        old = by_layer("variance", lambda layer: 1.0, steps=STEPS[:-1])
        new = by_layer("variance", lambda layer: math.exp(0.3 * layer), steps=STEPS[-1:])
        finding = find("variance_growth", frames(stream=pd.concat([old, new])))
        assert finding.severity == "warning" and finding.confidence == "low"

    def test_too_few_layers_say_nothing(self):
        assert FINDINGS["variance_growth"].run(frames(stream=by_layer("variance", math.exp, range(5)))) is None

    def test_nan_layers_are_left_out(self):
        values = by_layer("variance", lambda layer: math.nan if layer == 5 else 1.0)
        assert find("variance_growth", frames(stream=values)).severity == "ok"


class TestGradientSkew:
    @pytest.mark.parametrize(
        ("deep", "severity"), [(1.0, "ok"), (0.4, "ok"), (0.2, "info"), (0.05, "warning"), (1e-4, "critical")]
    )
    def test_severity_rises_with_the_skew(self, deep, severity):
        assert find("gradient_skew", gradients(lambda layer: deep if layer > 6 else 1.0)).severity == severity

    def test_the_sentence_gives_the_ratio_of_the_halves(self):
        finding = find("gradient_skew", gradients(lambda layer: 0.05 if layer > 6 else 1.0))
        assert "Blocks 7–12 get 0.05× the gradient norm of blocks 1–6 at step 500" in finding.sentence
        assert "as in Pre-LN" in finding.advice

    def test_early_blocks_can_be_the_weak_ones(self):
        finding = find("gradient_skew", gradients(lambda layer: 1.0 if layer > 6 else 0.05))
        assert finding.severity == "warning" and "as in Post-LN" in finding.advice

    def test_dead_half_is_critical(self):
        assert find("gradient_skew", gradients(lambda layer: 1.0 if layer > 6 else 0.0)).severity == "critical"
        assert find("gradient_skew", gradients(lambda layer: 0.0 if layer > 6 else 1.0)).severity == "critical"

    def test_no_gradient_anywhere_says_nothing(self):
        assert FINDINGS["gradient_skew"].run(gradients(lambda layer: 0.0)) is None


class TestNonfinite:
    def test_lasting_values_are_critical_and_name_the_first_layer(self):
        rows = pd.concat([broken(240, 500), broken(240, 500, layer=8.0), broken(250, 500, layer=2.0)])
        finding = find("nonfinite", frames(nonfinite=rows))
        assert finding.severity == "critical"
        assert "start in the activation of layer 7 (mlp_out) at step 240 and are still there" in finding.sentence
        assert finding.evidence.layers == (2, 7, 8) and finding.evidence.steps == (240, 500)

    def test_values_that_are_gone_are_a_warning(self):
        finding = find("nonfinite", frames(nonfinite=broken(240, 260)))
        assert finding.severity == "warning" and "gone after step 260" in finding.sentence

    def test_within_a_step_activations_come_before_gradients_and_the_forward_order_holds(self):
        rows = [
            broken(240, 500, what="gradient", site="block", layer=1.0),
            broken(240, 500, site="resid_post"),
            broken(240, 500, site="attn_out"),
        ]
        assert "layer 7 (attn_out)" in find("nonfinite", frames(nonfinite=pd.concat(rows))).sentence

    def test_a_site_without_layer_is_named(self):
        rows = broken(240, 500, what="gradient", site="embed", layer=None)
        finding = find("nonfinite", frames(nonfinite=rows))
        assert "gradient of embed" in finding.sentence and "gradients only" in finding.sentence

    def test_a_lasting_loss_alone_is_critical(self):
        losses = Losses(3, 2.0, math.inf, first_bad=2, last_bad=3)
        finding = find("nonfinite", frames(losses=losses))
        assert finding.severity == "critical" and "from step 2 and still is" in finding.sentence

    def test_a_loss_that_recovered_is_a_warning(self):
        losses = Losses(3, 2.0, 1.9, first_bad=2, last_bad=2)
        assert find("nonfinite", frames(losses=losses)).severity == "warning"

    def test_finite_runs_are_fine(self):
        losses = Losses(2, 2.0, 1.9)
        finding = find("nonfinite", frames(losses=losses))
        assert finding.severity == "ok" and finding.sentence == "No NaN or Inf in 5 sampled steps and 2 losses."


class TestMassiveActivations:
    def test_the_papers_rule_is_noted_with_channel_and_ratio(self):
        finding = find("massive_activations", massive(-200.0, 0.1, 1))
        assert finding.severity == "info" and "1 massive activation in layer 3 (channel 7)" in finding.sentence
        assert "2,000× the median" in finding.sentence and "-200" in finding.sentence

    def test_none_by_the_rule_still_gives_the_ratio(self):
        finding = find("massive_activations", massive(40.0, 4.0, 0))
        assert finding.severity == "ok" and "10× the median" in finding.sentence

    def test_past_float16_is_a_warning(self):
        assert find("massive_activations", massive(70000.0, 1.0, 1)).severity == "warning"

    def test_a_median_of_zero_does_not_divide(self):
        assert "where the median is 0" in find("massive_activations", massive(5.0, 0.0, 0)).sentence

    def test_nonfinite_values_say_nothing(self):
        assert FINDINGS["massive_activations"].run(massive(math.inf, 1.0, 0)) is None


class TestNearIdentity:
    def test_idle_deep_blocks_are_a_warning(self):
        finding = find("near_identity", influence(lambda layer: 0.002 if layer > 6 else 0.2))
        assert finding.severity == "warning" and "6 of 6 deep blocks (layers 7–12)" in finding.sentence
        assert finding.confidence == "medium"

    def test_an_even_model_is_fine_however_small_its_blocks(self):
        # DeepNorm shrinks every branch alike: low influence, but not a matter of depth.
        assert find("near_identity", influence(lambda layer: 0.008)).severity == "ok"

    def test_working_blocks_are_fine(self):
        assert find("near_identity", influence(lambda layer: 0.09)).severity == "ok"

    def test_before_anything_is_learnt_it_is_only_noted(self):
        early = influence(lambda layer: 0.002 if layer > 6 else 0.2, steps=(0, 1, 2, 4))
        assert find("near_identity", early).severity == "info"

    def test_the_angle_is_given_where_it_was_measured(self):
        blocks = by_layer("block_influence", lambda layer: 0.002 if layer > 6 else 0.2, range(1, 13))
        finding = find("near_identity", frames(blocks=blocks.assign(angular_distance=0.02)))
        assert "0.020 (0.5 is orthogonal)" in finding.sentence


class TestDiagnose:
    def test_a_healthy_run_says_what_was_checked(self):
        losses = Losses(2, 5.5, 2.1)
        found = diagnose(stream(lambda layer: 1.0, losses=losses))
        healthy = next(finding for finding in found if finding.name == "healthy")
        assert "stream variance, loss" in healthy.sentence and "5.500 → 2.100" in healthy.sentence
        assert "Not measured: gradient norms, largest activations, block influence" in healthy.sentence
        assert {finding.severity for finding in found} == {"ok"}

    def test_the_worst_comes_first_and_healthy_is_left_out(self):
        data = stream(lambda layer: math.exp(0.3 * layer), nonfinite=broken(240, 500))
        found = diagnose(data)
        assert [finding.severity for finding in found] == ["critical", "warning"]

    def test_an_empty_run_says_nothing(self):
        assert diagnose(RunFrames("r")) == []

    def test_every_finding_carries_rule_source_and_evidence(self):
        data = stream(lambda layer: math.exp(0.3 * layer), nonfinite=broken(240, 500))
        for finding in diagnose(data):
            assert finding.evidence.run == "r"
            assert all((finding.rule, finding.source, finding.advice, finding.title, finding.sentence))


class TestParts:
    def test_fits_recover_their_law(self):
        values = pd.Series({layer: math.exp(0.1 + 0.2 * layer) for layer in range(2, 10)})
        line = exponential(values)
        assert line.slope == pytest.approx(0.2) and line.intercept == pytest.approx(0.1) and line.r2 == pytest.approx(1)
        assert linear(values).r2 < 1

    def test_a_constant_is_fitted_perfectly(self):
        assert linear(pd.Series({2: 1.0, 3: 1.0, 4: 1.0})).r2 == 1

    @pytest.mark.parametrize(
        ("verdicts", "sure"), [("aaa", "high"), ("aa", "medium"), ("baaa", "medium"), ("bba", "low"), ("a", "low")]
    )
    def test_agreement(self, verdicts, sure):
        assert agreement(verdicts) == sure

    @pytest.mark.parametrize(
        ("layers", "said"),
        [
            ((7,), "layer 7"),
            ((7, 8, 9), "layers 7–9"),
            ((1, 3), "layers 1, 3"),
            (tuple(range(1, 40, 2)), "layers 1, 3, 5, … 39 (20 in all)"),
        ],
    )
    def test_layer_range(self, layers, said):
        assert layer_range(layers) == said
