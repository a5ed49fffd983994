"""How a run was set up: its label, its initialization, its warm-up, and what it is compared with."""

import pandas as pd
import pytest
from finding_frames import find, frames, layers_of, silent

from depthscope.app.findings import comparison_caveats
from depthscope.app.findings.frames import Rates
from depthscope.app.findings.lns_scaled_init import scaled_init
from depthscope.app.findings.strategy_mismatch import known_placement, placement_of


class TestStrategyMismatch:
    def test_another_placement_than_the_label_is_a_warning(self):
        finding = find("strategy_mismatch", frames(strategy="peri", layers=layers_of("pre", "pre", "pre")))
        assert finding.severity == "warning" and finding.evidence.layers == (1, 2, 3)
        assert "labelled peri, but the norms of its blocks are placed as in pre" in finding.sentence

    @pytest.mark.parametrize(
        ("label", "blocks"), [("Mix-LN", ("post", "pre")), ("lns", ("pre", "lns")), ("pre", ("pre",))]
    )
    def test_the_same_placement_is_fine(self, label, blocks):
        assert find("strategy_mismatch", frames(strategy=label, layers=layers_of(*blocks))).severity == "ok"

    @pytest.mark.parametrize(
        ("label", "blocks"), [("mine", ("pre",)), ("pre", ("unknown",)), (None, ("pre",)), ("pre", ())]
    )
    def test_what_is_unknown_is_not_judged(self, label, blocks):
        assert silent("strategy_mismatch", frames(strategy=label, layers=layers_of(*blocks)))

    @pytest.mark.parametrize(
        ("label", "name"),
        [("Pre-LN", "pre"), ("post_layer_norm", "post"), ("PeriLN", "peri"), ("sandwich", "peri"), ("LNS", "lns"),
         ("DeepNorm", "deepnorm"), ("pre rmsnorm", "pre"), ("prefix", ""), ("norm", "")],
    )  # fmt: skip
    def test_labels(self, label, name):
        assert known_placement(label) == name

    def test_models_that_mix_otherwise_are_unknown(self):
        assert placement_of(["pre", "post"]) == "unknown" and placement_of(["post", "post", "pre"]) == "mix"


class TestLnsScaledInit:
    def test_the_two_together_are_a_warning(self):
        finding = find("lns_scaled_init", frames(strategy="lns", config={"model.scaled_init": "true"}))
        assert finding.severity == "warning" and "model.scaled_init = true" in finding.sentence

    def test_one_alone_says_nothing(self):
        assert silent("lns_scaled_init", frames(strategy="pre", config={"scaled_init": "true"}))
        assert silent("lns_scaled_init", frames(strategy="lns", config={"scaled_init": "false", "lr": "0.001"}))

    def test_the_detected_placement_counts_too(self):
        found = frames(strategy="mine", layers=layers_of("pre", "lns", "lns"), config={"init": "scaled by depth"})
        assert find("lns_scaled_init", found).severity == "warning"

    @pytest.mark.parametrize(
        ("config", "entry"),
        [
            ({"init_scale": "0.5"}, "init_scale = 0.5"),
            ({"init_scale": "1.0"}, ""),
            ({"depth_scaled_init": "true"}, "depth_scaled_init = true"),
            ({"init": "normal"}, ""),
            ({"loss_scale": "2"}, ""),
        ],
    )
    def test_entries(self, config, entry):
        assert scaled_init(config) == entry


class TestWarmup:
    def test_a_post_norm_model_at_its_peak_rate_from_the_start_is_a_warning(self):
        finding = find("warmup", frames(strategy="post", rates=Rates(500, 0, 1e-3, 1e-3, 0)))
        assert finding.severity == "warning" and "starts at 100% of its peak learning rate (0.001)" in finding.sentence

    def test_with_warm_up_it_is_fine(self):
        finding = find("warmup", frames(strategy="post", rates=Rates(500, 0, 1e-5, 1e-3, 50)))
        assert finding.severity == "ok" and "over 50 steps" in finding.sentence

    def test_the_configuration_serves_where_no_rate_was_logged(self):
        assert find("warmup", frames(strategy="post", config={"warmup_steps": "0"})).severity == "warning"
        assert find("warmup", frames(strategy="post", config={"optim.warmup": "0.1"})).severity == "ok"

    def test_other_norms_and_unknown_curves_say_nothing(self):
        assert silent("warmup", frames(strategy="pre", rates=Rates(500, 0, 1e-3, 1e-3, 0)))
        assert silent("warmup", frames(strategy="post", layers=layers_of("pre"), rates=Rates(500, 0, 1e-3, 1e-3, 0)))
        assert silent("warmup", frames(strategy="post", rates=Rates(500, 40, 1e-3, 1e-3, 40)))
        assert silent("warmup", frames(strategy="post"))


def runs(**columns) -> pd.DataFrame:
    same = {"data_id": "d", "tokens": 100, "seed": 0, "n_layers": 6, "last_step": 10, "config": '{"lr": 0.1}'}
    return pd.DataFrame(
        [
            {name: value[i] if isinstance(value, tuple) else value for name, value in {**same, **columns}.items()}
            for i in range(2)
        ]
    )


class TestComparison:
    def test_equal_runs_need_no_caveat(self):
        assert comparison_caveats(runs()) == ()

    @pytest.mark.parametrize(
        ("column", "values", "said"),
        [
            ("data_id", ("a", "b"), "different data"),
            ("tokens", (100, 2000), "(100 to 2,000)"),
            ("last_step", (10, 2000), "numbers of steps (10 to 2,000)"),
            ("seed", (0, 1), "different seeds"),
            ("n_layers", (6, 12), "different depths"),
            ("config", ('{"lr": 0.1}', '{"optim": {"learning_rate": 0.2}}'), "learning rates (0.1, 0.2)"),
        ],
    )
    def test_every_difference_is_told(self, column, values, said):
        (sentence,) = comparison_caveats(runs(**{column: values}))
        assert said in sentence

    def test_what_is_not_known_is_no_difference(self):
        assert comparison_caveats(runs(config=(None, '{"lr": 0.1}'), data_id=(None, "a"))) == ()
