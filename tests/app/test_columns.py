"""Tables that fit: widths in pixels, names in full, and what is hidden at first."""

import pandas as pd

from depthscope.app.columns import columns, table_height
from depthscope.app.figures import TABLES
from depthscope.app.figures.effectiveness import Effectiveness
from depthscope.app.listing import told_by_all

BESIDE_THE_SIDEBAR = 1024 - 236 - 40
"""Pixels for a table on a small screen."""


def width(settings):
    return sum(setting["width"] or 90 for setting in settings.values() if setting)


def frame_of(table, **columns_of):
    return pd.DataFrame({"Strategy": ["lns-learnable"], "Run": ["lns-learnable-24x64-seed0"], **columns_of})


def test_the_summaries_fit_beside_the_sidebar():
    numbers = ("Last loss", "Slope", "R²", "Log slope", "Log R²", "Gradient deep/early", "Max kurtosis")
    summary = frame_of("summary", Step=[950], Growth=["exponential"], **{name: [0.5] for name in numbers})
    settings = columns(summary, TABLES["summary"].secondary)
    assert {name for name, setting in settings.items() if setting is None} == {"Step", "Log slope", "Log R²"}
    assert width(settings) + 90 <= BESIDE_THE_SIDEBAR  # the word for the growth has no width of its own
    effects = Effectiveness(
        (
            "participation_ratio",
            "deep_half_ratio",
            "effective_depth",
            "skip_tolerance",
            "participation_ratio_without_1",
        ),
        (("lns-learnable-24x64-seed0", "lns-learnable", 1000, (0.1, 0.2, 3.0, 0.5, 0.7)),),
    )
    table = TABLES["effectiveness"]
    settings = columns(table.table(effects), table.secondary)
    assert settings["Participation, without block 1"] is None
    assert width(settings) <= BESIDE_THE_SIDEBAR


def test_a_short_heading_tells_the_whole_name_in_its_tooltip():
    settings = columns(frame_of("runs", **{"Last loss": [1.5], "n": [3]}))
    assert (settings["Last loss"]["label"], settings["Last loss"]["help"]) == ("Loss", "Last loss")
    assert settings["n"]["help"] is None


def test_names_are_shown_in_full_and_endless_ones_are_not():
    assert columns(frame_of("runs"))["Run"]["width"] >= 6.5 * len("lns-learnable-24x64-seed0") + 16
    endless = columns(pd.DataFrame({"Run": ["x" * 10_000]}))
    assert endless["Run"]["width"] < 250


def test_differences_carry_their_sign():
    settings = columns(frame_of("summary", Slope=[0.5], Step=[9]), signed=True)
    assert settings["Slope"]["type_config"]["format"].startswith("%+")
    assert not settings["Step"]["type_config"]["format"].startswith("%+")


def test_what_every_run_says_alike_is_hidden_at_first():
    table = pd.DataFrame({"Run": ["a", "b"], "Layers": [24, 24], "Seed": [0, 1], "Tokens": [1, 2]})
    assert "Layers" in told_by_all(table) and "Tokens" in told_by_all(table)
    assert "Seed" not in told_by_all(table) and "Run" not in told_by_all(table)


def test_two_dozen_rows_are_seen_at_once():
    assert table_height(24) == table_height(1000) == 38 + 24 * 35
    assert table_height(3) == 38 + 3 * 35
