"""What a report is made of: fewer points, tables as text, settings side by side, its sections."""

import math

import numpy as np
import pandas as pd
import pytest

from depthscope.app.figures import FIGURES
from depthscope.app.report import contents
from depthscope.app.report.contents import sections
from depthscope.app.report.settings import flat, settings_sheets
from depthscope.app.report.tables import Sheet, cell, sheet
from depthscope.app.report.thin import thin


def line(run: str, values: list[float]) -> pd.DataFrame:
    steps = np.arange(len(values))
    return pd.DataFrame({"run": run, "step": steps, "x": steps * 2, "low": values, "high": values, "last": values})


class TestThin:
    def test_a_bucket_keeps_its_extremes_and_its_last_value(self):
        frame = thin(line("a", [3.0, 1.0, 2.0, 5.0, 4.0, 6.0]), 2)
        assert frame.to_dict("list") == {
            "run": ["a", "a"],
            "step": [2, 5],
            "x": [4, 10],
            "low": [1.0, 4.0],
            "high": [3.0, 6.0],
            "last": [2.0, 6.0],
        }

    def test_no_spike_is_lost(self):
        values = [1.0] * 1000
        values[357] = 99.0
        assert thin(line("a", values), 10)["high"].max() == 99.0

    @pytest.mark.parametrize("broken", [math.nan, math.inf])
    def test_nan_and_inf_win_their_bucket(self, broken):
        values = [1.0] * 100
        values[3] = broken
        frame = thin(line("a", values), 10)
        assert not math.isfinite(frame["high"].iloc[0]) and np.isfinite(frame["high"].iloc[1:]).all()

    def test_lines_do_not_mix(self):
        frame = thin(pd.concat([line("a", [1.0] * 10), line("b", [2.0] * 10)]), 2)
        assert frame.groupby("run")["high"].max().to_dict() == {"a": 1.0, "b": 2.0} and len(frame) == 4

    def test_a_heatmap_stays_a_grid(self):
        rows = [line("a", [float(layer)] * 30).assign(layer=layer) for layer in range(3)]
        frame = thin(pd.concat(rows), 7)
        assert frame.pivot(index="layer", columns="step", values="high").notna().all(axis=None)
        assert frame["step"].nunique() == 7

    def test_what_is_short_or_has_no_buckets_stays(self):
        short, other = line("a", [1.0, 2.0]), pd.DataFrame({"run": ["a"], "layer": [1], "value": [2.0]})
        assert thin(short, 2) is short and thin(other, 1) is other and thin(short.iloc[:0], 1).empty


class TestTables:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (1234.0, "1,234"),
            (0.123456, "0.1235"),
            (1e-9, "1e-09"),
            (123456789.0, "1.235e+08"),
            (math.nan, "NaN"),
            (-math.inf, "-Inf"),
            (None, ""),
            (pd.NA, ""),
            (7, "7"),
            (("a", 1.5), "a, 1.5"),
            ("a\x1bb", "a�b"),
        ],
    )
    def test_cells(self, value, said):
        assert cell(value) == said

    def test_profiles_have_a_row_a_layer_and_a_column_a_run(self):
        frame = pd.DataFrame(
            [("a", "pre", 0.0, 1.0), ("a", "pre", 1.0, 2.0), ("b", "post", 0.0, math.nan)],
            columns=["run", "strategy", "Layer", "Variance"],
        )
        assert sheet(frame) == Sheet(("Layer", "a", "b"), (("0", "1", "NaN"), ("1", "2", "")))

    def test_heatmaps_have_a_row_a_layer_and_a_column_a_step(self):
        frame = pd.DataFrame([(10.0, 0, 1.5), (20.0, 0, 2.5)], columns=["Optimizer step", "Layer", "Variance"])
        assert sheet(frame) == Sheet(("Layer", "Optimizer step 10", "Optimizer step 20"), (("0", "1.5", "2.5"),))

    def test_other_tables_stay_as_they_are(self):
        frame = pd.DataFrame({"Run": ["a"], "Loss": [1.25]})
        assert sheet(frame) == Sheet(("Run", "Loss"), (("a", "1.25"),))

    def test_words_are_told_from_numbers(self):
        rows = (("pre", "a", "1,234", "≥ 90 %", "-1e-05 ± 0.2", "NaN"), ("post", "7b", "", "35 %", "(0.5)", "-Inf"))
        assert Sheet(("Strategy", "Run", *"abcd"), rows).words == {0, 1}
        assert Sheet(("Layer", "a"), (("1", "n/a"),)).words == {1} and Sheet().words == frozenset()

    def test_a_table_of_too_many_columns_is_laid_on_its_side(self):
        wide = Sheet(("Run", *"abcdefghijkl"), (("x", *map(str, range(12))), ("y", *map(str, range(12)))))
        assert wide.upright.head == ("Run", "x", "y") and wide.upright.rows[1] == ("b", "1", "1")
        narrow = Sheet(wide.head[:12], tuple(row[:12] for row in wide.rows))
        assert narrow.upright is narrow
        long = Sheet(wide.head, wide.rows * 7)
        assert long.upright is long, "as wide the other way round"


class TestSettings:
    def test_nested_keys_are_dotted(self):
        assert flat({"a": {"b": 1, "c": {}}, "d": "x", "e": [1, None]}) == {
            "a.b": "1",
            "a.c": "{}",
            "d": "x",
            "e": "[1, null]",
        }

    def test_what_differs_comes_first(self):
        runs = pd.DataFrame(
            {
                "run": ["a", "b"],
                "config": ['{"lr": 0.1, "width": 64}', '{"lr": 0.2, "width": 64}'],
                "environment": [None, "[]"],
            }
        )
        sheets = settings_sheets(runs)
        assert sheets["Configuration that differs"] == Sheet(("Key", "a", "b"), (("lr", "0.1", "0.2"),))
        assert [row[0] for row in sheets["Configuration"].rows] == ["lr", "width"]
        assert "Environment" not in sheets

    def test_one_run_differs_from_nothing(self):
        runs = pd.DataFrame({"run": ["a"], "config": ['{"lr": 0.1}'], "environment": [None]})
        assert list(settings_sheets(runs)) == ["Configuration"]


def sites(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(metric, metric.title(), site, "train", "main") for metric, site in rows],
        columns=["metric", "title", "site", "phase", "stack"],
    )


class TestSections:
    def parts(self, runs, *found):
        """The sections of runs that were all evaluated, and trained sparse, by name."""
        evaluated = pd.DataFrame([(run, 0, name) for run in runs for name in ("interventions", "sparsity", "masks")])
        evaluated.columns = ["run", "step", "table"]
        return {part.name: part for part in sections(runs, sites(*found), evaluated, runs)}

    def test_a_new_metric_gets_a_profile_by_itself(self):
        parts = self.parts(("a",), ("sparkle", "attn_out"), ("variance", "resid_post"))
        profiles = [(place.view.metric, place.view.site) for place in parts["profiles"].places]
        assert profiles == [("variance", "resid_post"), ("sparkle", "attn_out")]

    def test_numbers_without_a_layer_have_no_profile(self):
        parts = self.parts(("a",), ("param_norm", "embed"))
        assert parts["profiles"].places == ()

    def test_a_heatmap_is_drawn_for_each_run(self):
        parts = self.parts(("a", "b"), ("variance", "resid_post"))
        assert [place.view.run for place in parts["heatmaps"].places] == ["a", "b"]

    def test_a_new_figure_is_in_the_report_by_itself(self, monkeypatch):
        import dataclasses

        new = dataclasses.replace(FIGURES["layer_series"], name="sparkle", title="Sparkle")
        monkeypatch.setattr(contents, "FIGURES", {**FIGURES, "sparkle": new})
        more = self.parts(("a", "b"), ("variance", "resid_post"))["more"]
        assert [(place.name, place.view.run) for place in more.places] == [("sparkle", "a"), ("sparkle", "b")]

    def test_every_figure_has_its_place(self):
        parts = self.parts(("a",), ("variance", "resid_post"))
        named = {place.name for part in parts.values() for place in part.places} | contents.SHOWN_ELSEWHERE
        assert named >= set(FIGURES) and "more" not in parts
