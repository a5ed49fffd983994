"""All findings together, the parts they share, the thresholds file and the page that lists them."""

import ast
import dataclasses
import inspect
import math
from pathlib import Path

import pandas as pd
import pytest
from finding_frames import by_layer, find, frames

from depthscope.app.findings import (
    FINDINGS,
    THRESHOLDS,
    BadThresholds,
    RunFrames,
    Thresholds,
    diagnose,
    read_thresholds,
)
from depthscope.app.findings.agreement import agreement
from depthscope.app.findings.fits import exponential, growth, linear
from depthscope.app.findings.frames import Losses, layer_range


def stream(value, **more) -> RunFrames:
    return frames(stream=by_layer("variance", value), **more)


def broken() -> pd.DataFrame:
    row = {"what": "activation", "site": "mlp_out", "layer": 7.0, "phase": "train", "total": 12, "last_clean": 230.0}
    return pd.DataFrame([{**row, "first_step": 240, "last_step": 500}])


class TestDiagnose:
    def test_a_healthy_run_says_what_was_checked(self):
        found = diagnose(stream(lambda layer: 1.0, losses=Losses(2, 5.5, 2.1)))
        healthy = next(finding for finding in found if finding.name == "healthy")
        assert "stream variance, loss" in healthy.sentence and "5.500 → 2.100" in healthy.sentence
        assert "Not measured: gradient norms, weight updates, largest activations, angles of bl" in healthy.sentence
        assert {finding.severity for finding in found} == {"ok"}

    def test_the_worst_comes_first_and_healthy_is_left_out(self):
        found = diagnose(stream(lambda layer: math.exp(0.3 * layer), nonfinite=broken()))
        assert [finding.severity for finding in found] == ["critical", "warning", "ok"]
        assert "healthy" not in {finding.name for finding in found}

    def test_an_empty_run_says_nothing(self):
        assert diagnose(RunFrames("r")) == []

    def test_every_finding_carries_rule_source_and_evidence(self):
        for finding in diagnose(stream(lambda layer: math.exp(0.3 * layer), nonfinite=broken())):
            assert finding.rule and finding.source and finding.advice and finding.title
            assert finding.evidence.run == "r" and finding.name in FINDINGS

    def test_every_sentence_is_one_plain_line(self):
        for finding in diagnose(stream(lambda layer: math.exp(0.3 * layer), nonfinite=broken())):
            assert "\n" not in finding.sentence and finding.sentence.endswith(".")


class TestThresholds:
    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "limits.toml"
        path.write_text(text)
        return path

    def test_a_file_overrides_what_it_names(self, tmp_path):
        limits = read_thresholds(self.write(tmp_path, "growth_flat = 30\nrecent_steps = 3\n"))
        assert (limits.growth_flat, limits.recent_steps) == (30.0, 3)
        assert limits == dataclasses.replace(THRESHOLDS, growth_flat=30.0, recent_steps=3)
        finding = find("variance_growth", stream(lambda layer: math.exp(0.3 * layer)), limits)
        assert finding.severity == "ok" and "less than 30 times" in finding.rule

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("growth_flt = 3", "got 'growth_flt'; did you mean growth_flat?"),
            ("zzz = 3", "known are recent_steps"),
            ("growth_flat = -1", "expected a number above 0 for growth_flat"),
            ("growth_flat = nan", "expected a number above 0"),
            ('growth_flat = "3"', "got '3'"),
            ("growth_flat = true", "got True"),
            ("recent_steps = 2.5", "expected a whole number above 0 for recent_steps"),
            ("[growth]\nflat = 3", "expected the name of a threshold"),
            ("growth_flat = ", "expected TOML in"),
        ],
    )
    def test_what_is_wrong_is_one_clear_line(self, tmp_path, text, said):
        with pytest.raises(BadThresholds) as raised:
            read_thresholds(self.write(tmp_path, text))
        assert said in str(raised.value) and "\n" not in str(raised.value)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(BadThresholds, match="expected a TOML file at"):
            read_thresholds(tmp_path / "no.toml")

    def test_no_finding_compares_with_a_number_of_its_own(self):
        """Every threshold is used, and every rule names the numbers it goes by."""
        sources = "".join(inspect.getsource(inspect.getmodule(check.judge)) for check in FINDINGS.values())
        unused = [name.name for name in dataclasses.fields(Thresholds) if f"limits.{name.name}" not in sources]
        assert set(unused) <= {"recent_steps", "growth_rate", "growth_flat", "min_blocks"}, unused


class TestParts:
    def test_fits_recover_their_law(self):
        values = pd.Series({layer: math.exp(0.1 + 0.2 * layer) for layer in range(2, 10)})
        line = exponential(values)
        assert line.slope == pytest.approx(0.2) and line.intercept == pytest.approx(0.1) and line.r2 == pytest.approx(1)
        assert linear(values).r2 < 1

    def test_a_constant_is_fitted_perfectly(self):
        assert linear(pd.Series({2: 1.0, 3: 1.0, 4: 1.0})).r2 == 1

    def test_growth_needs_four_usable_layers(self):
        assert growth(pd.Series({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0, 5: math.nan})) is None

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


def test_every_threshold_has_a_reason():
    tree = ast.parse(inspect.getsource(inspect.getmodule(Thresholds)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Thresholds")
    for field, reason in zip(body[1::2], body[2::2], strict=True):
        assert isinstance(field, ast.AnnAssign) and isinstance(reason, ast.Expr), ast.dump(field)


def test_the_same_store_always_says_the_same(tmp_path):
    """DuckDB works in parallel: without an order of every answer, ties would be told one way or the other."""
    from synthetic import make_store

    from depthscope.app.findings import diagnose_runs

    store = make_store(tmp_path / "store", 5, layers=6, steps=12)
    runs = list(store.runs()["run"])
    first = diagnose_runs(store, runs)
    assert all(diagnose_runs(store, runs) == first for _ in range(4))
