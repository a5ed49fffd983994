"""Numbers that break or nearly do: NaN and Inf, spikes, outliers, half precision."""

import math

import pandas as pd
import pytest
from finding_frames import BLOCKS, STEPS, by_layer, find, frames, peaks, silent

from depthscope.app.findings import THRESHOLDS, RunFrames
from depthscope.app.findings.frames import Losses
from depthscope.app.findings.half_precision import forecast


def massive(value: float, median: float, count: int, **fields) -> RunFrames:
    row = {"layer": 3, "rank": 1, "value": value, "median_abs": median, "count": count, "token": 0, "channel": 7}
    return frames(massive=pd.DataFrame([{"step": step, **row, **fields} for step in STEPS]))


def broken(first: int, last: int, **fields) -> pd.DataFrame:
    row = {"what": "activation", "site": "mlp_out", "layer": 7.0, "phase": "train", "total": 12}
    return pd.DataFrame([{**row, "first_step": first, "last_step": last, "last_clean": first - 10, **fields}])


class TestNonfinite:
    def test_lasting_values_are_critical_and_name_the_first_layer(self):
        rows = pd.concat([broken(240, 500), broken(240, 500, layer=8.0), broken(250, 500, layer=2.0)])
        finding = find("nonfinite", frames(nonfinite=rows))
        assert finding.severity == "critical"
        assert "start in the activation of layer 7 (mlp_out) at step 240 and are still there" in finding.sentence
        assert finding.evidence.layers == (2, 7, 8) and finding.evidence.steps == (240, 500)

    def test_the_interval_is_told(self):
        sentence = find("nonfinite", frames(nonfinite=broken(240, 500))).sentence
        assert "Step 230 is the last clean sample, so it happened after it and no later than step 240." in sentence
        assert (
            "Step 239 was still clean" in find("nonfinite", frames(nonfinite=broken(240, 500, last_clean=239))).sentence
        )
        assert "has them already" in find("nonfinite", frames(nonfinite=broken(0, 500, last_clean=math.nan))).sentence

    def test_the_loss_narrows_the_interval(self):
        losses = Losses(300, 2.0, math.nan, first_bad=233, last_bad=500)
        sentence = find("nonfinite", frames(nonfinite=broken(240, 500), losses=losses)).sentence
        assert "no later than step 233" in sentence and "The loss is not finite from step 233" in sentence

    def test_when_every_layer_is_broken_at_once_no_layer_is_blamed(self):
        rows = pd.concat([broken(240, 500, site="resid_post", layer=float(layer)) for layer in range(13)])
        assert "which came first cannot be told" in find("nonfinite", frames(nonfinite=rows)).sentence

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

    def test_gradients_break_from_the_last_layer_down(self):
        rows = [
            *(
                broken(240, 500, what="gradient", site=site, layer=layer)
                for site in ("block", "attn")
                for layer in (3, 4)
            ),
            broken(240, 500, what="gradient", site="embed", layer=None),
            broken(250, 500, what="gradient", site="head", layer=None),
        ]
        assert "gradient of layer 4 (attn) at step 240" in find("nonfinite", frames(nonfinite=pd.concat(rows))).sentence

    def test_when_every_gradient_is_broken_at_once_no_layer_is_blamed(self):
        blocks = [broken(240, 500, what="gradient", site="block", layer=float(layer)) for layer in BLOCKS]
        rows = pd.concat([*blocks, broken(240, 500, what="gradient", site="head", layer=None)])
        rows["layer"] = rows["layer"].astype("Int64")  # as the store gives it: NA, and not NaN, where there is none
        sentence = find("nonfinite", frames(nonfinite=rows)).sentence
        assert "as after clipping by such a norm: which came first cannot be told" in sentence

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
        finding = find("nonfinite", frames(losses=Losses(2, 2.0, 1.9)))
        said = "No NaN or Inf in 5 sampled steps and 2 losses."
        assert finding.severity == "ok" and finding.sentence.startswith(said)

    def test_what_was_not_looked_at_is_said(self):
        both = find("nonfinite", frames(losses=Losses(2, 2.0, 1.9), counted=False)).sentence
        assert both.endswith("Not looked at: activations, gradients.")
        assert find("nonfinite", frames(losses=Losses(2, 2.0, 1.9))).sentence.endswith("Not looked at: gradients.")


def spiking(*rows: tuple[int, float, float, float], around: pd.DataFrame | None = None) -> RunFrames:
    table = pd.DataFrame(rows, columns=["step", "loss", "median", "mad"]) if rows else frames().spikes
    more = {} if around is None else {"around": around}
    return frames(losses=Losses(500, 5.0, 2.0), spikes=table, **more)


def near(odd: dict[tuple[int, int], float]) -> pd.DataFrame:
    """Variance 1 in four layers at steps 0, 10, ..., 100, but for `odd`: (step, layer) -> value."""
    rows = [(step, layer, "variance", odd.get((step, layer), 1.0)) for step in range(0, 101, 10) for layer in range(5)]
    return pd.DataFrame(rows, columns=["step", "layer", "metric", "value"])


class TestLossSpike:
    def test_a_spike_is_a_warning_with_the_earliest_deviating_layer(self):
        around = near({(90, 3): 9.0, (100, 1): 50.0})
        finding = find("loss_spike", spiking((93, 7.5, 2.0, 0.05), around=around))
        assert finding.severity == "warning" and "jumps to 7.500 at step 93" in finding.sentence
        assert "is layer 3, at sampled step 90 (variance 9× its usual value" in finding.sentence
        assert "not a proven cause" in finding.sentence
        assert finding.evidence.layers == (3,) and finding.evidence.steps == (90, 93)

    def test_where_no_layer_stands_out_it_says_so(self):
        finding = find("loss_spike", spiking((93, 7.5, 2.0, 0.05), around=near({})))
        assert "No sampled layer leaves its usual range" in finding.sentence and finding.evidence.layers == ()

    def test_a_run_without_samples_says_so(self):
        assert "No layer was sampled near it" in find("loss_spike", spiking((93, 7.5, 2.0, 0.05))).sentence

    @pytest.mark.parametrize("row", [(93, 2.15, 2.0, 0.001), (93, 2.9, 2.0, 0.2)])
    def test_noise_and_small_steps_are_no_spikes(self, row):
        assert find("loss_spike", spiking(row)).severity == "ok"

    @pytest.mark.parametrize(("loss", "severity"), [(5.9, "warning"), (4.2, "ok")])
    def test_where_losses_scatter_only_a_far_one_is_a_spike(self, loss, severity):
        assert find("loss_spike", spiking((54, loss, 3.1, 0.36))).severity == severity

    def test_far_above_but_within_the_scatter_is_none(self):
        assert find("loss_spike", spiking((54, 5.9, 3.1, 0.6))).severity == "ok"

    def test_the_largest_of_several_is_told(self):
        finding = find("loss_spike", spiking((40, 4.0, 2.0, 0.05), (93, 7.5, 2.0, 0.05)))
        assert "step 93" in finding.sentence and "about 2 spikes" in finding.sentence

    def test_too_few_losses_say_nothing(self):
        assert silent("loss_spike", frames(losses=Losses(10, 5.0, 2.0)))


class TestMassiveActivations:
    def test_the_papers_rule_is_noted_with_layer_channel_token_and_ratio(self):
        finding = find("massive_activations", massive(-200.0, 0.1, 1))
        assert finding.severity == "info"
        assert "1 massive activation in layer 3, in channel 7, at token 0; the largest" in finding.sentence
        assert "2,000× the median" in finding.sentence and "-200" in finding.sentence

    def test_none_by_the_rule_still_gives_the_ratio(self):
        finding = find("massive_activations", massive(40.0, 4.0, 0))
        assert finding.severity == "ok" and "10× the median" in finding.sentence

    def test_a_channel_that_stays_is_told(self):
        rows = [
            {
                "step": 500,
                "layer": layer,
                "rank": 1,
                "value": 300.0,
                "median_abs": 0.1,
                "count": 1,
                "token": 0,
                "channel": 7,
            }
            for layer in range(3, 9)
        ]
        finding = find("massive_activations", frames(massive=pd.DataFrame(rows)))
        assert "they appear in layer 3, and channel 7 has one in 6 of these 6 layers" in finding.sentence
        assert finding.evidence.layers == (3, 4, 5, 6, 7, 8)

    def test_a_median_of_zero_does_not_divide(self):
        assert "where the median is 0" in find("massive_activations", massive(5.0, 0.0, 0)).sentence

    def test_nonfinite_values_say_nothing(self):
        assert silent("massive_activations", massive(math.inf, 1.0, 0))


class TestHeavyTails:
    def test_a_heavy_layer_is_noted(self):
        rows = by_layer("kurtosis", lambda layer: 60.0 if layer >= 10 else 3.0)
        finding = find("heavy_tails", frames(stream=rows))
        assert finding.severity == "info" and "in layers 10–12: kurtosis largest 60" in finding.sentence

    def test_gaussian_streams_are_fine_and_the_embedding_does_not_count(self):
        rows = by_layer("kurtosis", lambda layer: 60.0 if layer == 0 else 3.2)
        assert find("heavy_tails", frames(stream=rows)).severity == "ok"
        assert silent("heavy_tails", frames())


def sizes(value, site="resid_post", **more) -> RunFrames:
    return frames(extremes=by_layer("abs_max", value, BLOCKS).assign(site=site), **more)


class TestHalfPrecision:
    def test_the_first_layer_past_float16_is_named(self):
        late = by_layer("abs_max", lambda layer: 7e4 if layer >= 4 else 10.0, BLOCKS)
        rows = pd.concat([late.assign(site="resid_post"), late.assign(site="mlp_out")])
        finding = find("half_precision", frames(extremes=rows))
        assert finding.severity == "warning" and "layer 4 (mlp_out) is the first past its maximum" in finding.sentence
        assert finding.evidence.layers == tuple(range(4, 13))
        assert find("half_precision", frames(extremes=rows, dtype="float16")).severity == "critical"

    @pytest.mark.parametrize(("dtype", "severity"), [("float32", "info"), ("", "info"), ("float16", "warning")])
    def test_little_room_is_noted_or_a_warning_where_float16_is_used(self, dtype, severity):
        finding = find("half_precision", sizes(lambda layer: 1000.0 * layer, dtype=dtype))
        assert finding.severity == severity and "uses 1/5 of float16's range" in finding.sentence

    def test_growth_is_forecast_by_a_line(self):
        growing = peaks("abs_max", [100.0 * i for i in range(50)])  # 10 a step, 4,900 at step 490
        assert forecast(growing, THRESHOLDS) is None, "6,550 steps is more than 10 times 490"
        assert forecast(growing.assign(abs_max=growing["abs_max"] * 10), THRESHOLDS) == 656
        finding = find(
            "half_precision", sizes(lambda layer: 2000.0, peaks=growing.assign(abs_max=growing["abs_max"] * 10))
        )
        assert "full at about step 656" in finding.sentence and finding.confidence == "medium"

    def test_what_jumps_about_or_shrinks_is_not_forecast(self):
        assert forecast(peaks("abs_max", [1e4, 100.0] * 20), THRESHOLDS) is None
        assert forecast(peaks("abs_max", [5e4 - 10.0 * i for i in range(40)]), THRESHOLDS) is None

    def test_small_activations_are_fine(self):
        assert find("half_precision", sizes(lambda layer: 5.0)).severity == "ok"
        assert silent("half_precision", frames())


def branches(value, **more) -> RunFrames:
    parts = [by_layer("branch_ratio", value, BLOCKS).assign(site=site) for site in ("attn_out", "mlp_out")]
    return frames(branches=pd.concat(parts, ignore_index=True), **more)


class TestAbsorption:
    def test_small_branches_are_noted_and_a_warning_in_a_bfloat16_model(self):
        data = branches(lambda layer: 0.001 if layer > 8 else 0.2)
        finding = find("absorption", data)
        assert finding.severity == "info" and "attention of layers 9–12 and MLP of layers 9–12" in finding.sentence
        assert finding.evidence.layers == (9, 10, 11, 12)
        low = branches(lambda layer: 0.001 if layer > 8 else 0.2, dtype="bfloat16")
        assert find("absorption", low).severity == "warning"

    def test_ordinary_branches_are_fine(self):
        finding = find("absorption", branches(lambda layer: 0.2 / layer, dtype="bfloat16"))
        assert finding.severity == "ok" and "0.017 of the stream (attention of layer 12)" in finding.sentence
        assert silent("absorption", frames())
