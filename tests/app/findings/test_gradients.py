"""Gradients: along depth, over time, between the halves; blocks without any."""

import math

import pandas as pd
import pytest
from finding_frames import BLOCKS, by_layer, find, frames, history, peaks, silent

from depthscope.app.findings import RunFrames


def gradients(value, update=None, **more) -> RunFrames:
    rows = by_layer("param_grad_norm", value, BLOCKS).assign(param_norm=1.0, update_ratio=math.nan)
    if update is not None:
        rows["update_ratio"] = [float(update(layer)) for layer in rows["layer"]]
    return frames(gradients=rows, **more)


def halves(deep: float, early: float = 1.0):
    return lambda layer: deep if layer > 6 else early


class TestGradientSkew:
    @pytest.mark.parametrize(("deep", "severity"), [(1.0, "ok"), (0.4, "ok"), (0.2, "info"), (1e-4, "info")])
    def test_a_skew_of_the_gradients_alone_is_never_more_than_noted(self, deep, severity):
        finding = find("gradient_skew", gradients(halves(deep)))
        assert finding.severity == severity and "was not measured" in finding.sentence

    def test_it_is_a_warning_when_the_updates_agree(self):
        finding = find("gradient_skew", gradients(halves(0.05), halves(0.1)))
        assert finding.severity == "warning" and "as in Pre-LN" in finding.advice
        assert (
            "Blocks 7–12 get 0.05× the gradient norm of blocks 1–6 at step 500, and their weights move 0.1×"
            in finding.sentence
        )

    def test_it_is_noted_when_the_optimizer_evens_it_out(self):
        finding = find("gradient_skew", gradients(halves(0.05), halves(1.1)))
        assert finding.severity == "info" and "the optimizer mostly evens it out" in finding.sentence

    def test_updates_that_point_the_other_way_do_not_agree(self):
        assert find("gradient_skew", gradients(halves(0.05), halves(10.0))).severity == "info"

    def test_early_blocks_can_be_the_weak_ones(self):
        finding = find("gradient_skew", gradients(halves(1.0, 0.05), halves(1.0, 0.1)))
        assert finding.severity == "warning" and "as in Post-LN" in finding.advice

    def test_no_gradient_anywhere_says_nothing(self):
        assert silent("gradient_skew", gradients(lambda layer: 0.0))


class TestGradientFlow:
    def test_vanishing_towards_the_input_names_the_block_where_it_starts(self):
        finding = find("gradient_flow", gradients(lambda layer: 10.0 ** (layer - 12)))
        assert finding.severity == "critical" and "gradients vanish" in finding.sentence
        # Block 12 has 1, so block 9 has 1e-3 and block 8 is the first below it.
        assert "It starts at block 8" in finding.sentence and finding.evidence.layers == tuple(range(1, 9))

    def test_exploding_towards_the_input_too(self):
        finding = find("gradient_flow", gradients(lambda layer: 4.0 ** (12 - layer)))
        assert finding.severity == "critical" or finding.severity == "warning"
        assert "gradients explode" in finding.sentence and "It starts at block 7" in finding.sentence

    def test_a_surge_over_time_is_critical(self):
        surge = peaks("gradient", [1.0] * 10 + [500.0, 600.0, 700.0], layer=3)
        finding = find("gradient_flow", gradients(lambda layer: 1.0, peaks=surge))
        assert finding.severity == "critical" and "block 3 gets 700" in finding.sentence
        assert finding.evidence.steps == (100, 120)

    @pytest.mark.parametrize(
        ("grown", "said", "layers"),
        [
            (range(1, 8), "it starts at block 7, at step 100 (500× its own earlier gradients), and goes down", (7,)),
            (range(1, 13), "all blocks have grown alike: it comes from above them (loss or head)", (3,)),
        ],
    )
    def test_a_surge_starts_at_the_last_block_that_has_grown(self, grown, said, layers):
        surge = peaks("gradient", [1.0] * 10 + [500.0, 600.0, 700.0], layer=3)
        rows = history("param_grad_norm", lambda layer: 1.0 / layer, dict.fromkeys(grown, 500.0), since=100)
        finding = find("gradient_flow", gradients(lambda layer: 1.0, peaks=surge, histories=rows))
        assert said in finding.sentence and finding.evidence.layers == layers

    @pytest.mark.parametrize("value", [lambda layer: 1.0, lambda layer: 1.5**layer])
    def test_ordinary_gradients_are_fine(self, value):
        assert find("gradient_flow", gradients(value, peaks=peaks("gradient", [1.0] * 12))).severity == "ok"

    def test_blocks_without_gradient_are_left_to_dead_layers(self):
        assert find("gradient_flow", gradients(lambda layer: 0.0 if layer == 4 else 1.0)).severity == "ok"
        assert silent("gradient_flow", frames())


class TestDeadLayers:
    @pytest.mark.parametrize("small", [0.0, 1e-9])
    def test_a_block_without_gradient_among_others_is_a_warning(self, small):
        finding = find("dead_layers", gradients(lambda layer: small if layer == 5 else 1.0))
        assert finding.severity == "warning" and finding.evidence.layers == (5,)
        assert "Layer 5 gets no gradient while others do" in finding.sentence

    def test_parameters_without_any_gradient_were_frozen(self):
        finding = find("dead_layers", gradients(lambda layer: math.nan if layer <= 3 else 1.0))
        assert finding.severity == "info" and finding.evidence.layers == (1, 2, 3)
        assert "Layers 1–3 have parameters but no gradient: frozen" in finding.sentence

    def test_a_gradient_that_is_nan_is_not_frozen(self):
        broken = pd.DataFrame([{"what": "gradient", "layer": 3.0}])
        assert (
            find("dead_layers", gradients(lambda layer: math.nan if layer == 3 else 1.0, nonfinite=broken)).severity
            == "ok"
        )

    def test_a_block_that_no_optimizer_moves_is_noted(self):
        still = gradients(lambda layer: 1.0, lambda layer: 0.0 if layer == 7 else 1e-3)
        finding = find("dead_layers", still)
        assert finding.severity == "info" and "Layer 7 has gradients but does not move" in finding.sentence

    def test_gradients_that_fade_along_depth_are_no_dead_blocks(self):
        assert find("dead_layers", gradients(lambda layer: 30.0**-layer)).severity == "ok"

    def test_a_block_that_once_had_a_gradient_is_alive(self):
        rows = by_layer("param_grad_norm", lambda layer: 1.0, BLOCKS).assign(param_norm=1.0, update_ratio=1e-3)
        rows.loc[(rows["layer"] == 5) & (rows["step"] > 100), "param_grad_norm"] = 0.0
        assert find("dead_layers", frames(gradients=rows)).severity == "ok"
        assert silent("dead_layers", frames())
