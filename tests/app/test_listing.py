import math

import pandas as pd

from depthscope.app.listing import coloured, found, listing
from depthscope.app.scene import revision
from depthscope.app.sidebar import newest_runs

RUNS = pd.DataFrame(
    {
        "run": ["old", "<b>\u202enew"],
        "strategy": ["pre", None],
        "status": ["finished", "failed"],
        "n_layers": [12, None],
        "n_params": [1000, 2000],
        "last_step": [99, None],
        "config": ['{"steps": 200}', "not json"],
        "last_loss": [1.5, float("nan")],
        "min_loss": [1.25, 2.0],
        "nonfinite": [0, 7],
        "tokens": [4096, None],
        "seed": [None, None],
        "group_name": ["sweep", None],
        "tags": [["a", "<i>\u202e"], None],
        "started_at": pd.to_datetime(["2026-01-01", "2026-01-02"]),
    }
)


def test_newest_first_with_names_made_safe():
    table = listing(RUNS)
    assert list(table["Run"]) == ["<b>�new", "old"]
    assert list(table["Strategy"]) == ["unknown", "pre"]
    assert list(table["State"]) == ["failed", "finished"]
    assert "Seed" not in table  # nothing in it


def test_verdicts_losses_groups_and_tags_are_shown():
    table = listing(RUNS, {"old": "critical"}, {"old": (2.0, 1.5)})
    assert table["Verdict"][1] == "⛔ critical" and pd.isna(table["Verdict"][0])
    assert table["Loss"][1] == [2.0, 1.5] and table["Loss"][0] is None
    assert table["Group"][1] == "sweep" and table["Tags"][1] == ["a", "<i>�"]
    assert "Verdict" not in listing(RUNS)


def test_a_search_meets_names_strategies_groups_and_tags():
    for words in ("", "OLD", "pre sweep", "<i>"):
        assert "old" in set(found(RUNS, words)["run"])
    assert found(RUNS, "old nothing").empty
    assert list(found(RUNS, "new")["run"]) == ["<b>\u202enew"]


def test_progress_is_known_where_the_config_tells_the_length():
    progress = list(listing(RUNS)["Progress"])
    assert math.isnan(progress[0]) and progress[1] == 50.0
    for config in ('{"steps": 0}', '{"steps": "x"}', "[1]", None, '{"steps": true}'):
        assert "Progress" not in listing(RUNS.assign(config=config))
    assert listing(RUNS.assign(config='{"max_steps": 50}'))["Progress"][1] == 100.0


def test_states_that_ask_for_attention_are_coloured():
    css = coloured(listing(RUNS)).to_html()
    assert css.count("background-color") >= 2
    assert "rgba(228,0,58,0.28)" in css


def test_a_revision_changes_with_the_content_of_the_runs_on_screen_only():
    before = revision(RUNS, ["old"])
    assert revision(RUNS, ["old"]) == before
    assert revision(RUNS.assign(last_step=[100, None]), ["old"]) != before
    assert revision(RUNS.assign(status=["running", "failed"]), ["old"]) != before
    assert revision(RUNS.assign(last_step=[99, 5]), ["old"]) == before
    assert revision(RUNS) != revision(RUNS.iloc[:1]) == before


def test_the_newest_runs_come_in_the_order_of_the_legends():
    many = pd.DataFrame({"run": [f"r{n}" for n in range(10)], "strategy": ["post", "pre"] * 5, "tags": None})
    assert newest_runs(many) == ("r3", "r5", "r7", "r9", "r2", "r4", "r6", "r8")


def test_a_store_with_headline_runs_opens_with_them():
    runs = pd.DataFrame({"run": ["r1", "r2", "r3", "r4"], "strategy": "pre"})
    runs["tags"] = [None, ["headline"], ["headline", "x"], ["x"]]
    assert newest_runs(runs) == ("r2", "r3")
    assert newest_runs(runs, pins=["r4"]) == ("r2", "r3", "r4")
