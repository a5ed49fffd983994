"""Runs in groups: by what they share with some and not with others."""

import json
import math

import pandas as pd

from depthscope.app.grouping import group_keys, group_table, groups_of


def runs(*configs: dict, **columns) -> pd.DataFrame:
    count = len(configs)
    usual = {
        "run": [f"r{n}" for n in range(count)],
        "strategy": ["pre"] * count,
        "seed": list(range(count)),
        "group_name": [None] * count,
        "n_layers": [12] * count,
        "config": [json.dumps(config) for config in configs],
        "last_loss": [2.0 + n for n in range(count)],
        "min_loss": [1.0 + n for n in range(count)],
        "last_step": [99] * count,
        "nonfinite": [0] * count,
    }
    return pd.DataFrame({**usual, **columns})


def test_keys_are_what_differs():
    keys = group_keys(runs({"lr": 0.1, "width": 64}, {"lr": 0.2, "width": 64}))
    assert keys == {"strategy": "strategy", "seed": "seed", "config.lr": "config.lr"}


def test_a_group_is_named_by_its_value():
    frame = runs({"optimizer": {"lr": 0.1}}, {})
    assert groups_of(frame, "config.optimizer.lr") == {"r0": "optimizer.lr = 0.1", "r1": "optimizer.lr = –"}
    assert groups_of(frame, "seed") == {"r0": "seed 0", "r1": "seed 1"}
    assert groups_of(frame.assign(strategy=[None, "post"]), "strategy") == {"r0": "unknown", "r1": "post"}
    assert groups_of(frame, "group_name") == {"r0": "group –", "r1": "group –"}


def test_the_table_has_n_mean_and_deviation():
    table = group_table(runs({"lr": 0.1}, {"lr": 0.1}, {"lr": 0.2}), "config.lr").set_index("Group")
    first, second = table.loc["lr = 0.1"], table.loc["lr = 0.2"]
    assert (first["n"], first["Mean last loss"], first["Lowest loss"]) == (2, 2.5, 1.0)
    assert math.isclose(first["Standard deviation"], math.sqrt(0.5)) and first["Runs"] == "r0, r1"
    assert second["n"] == 1 and math.isnan(second["Standard deviation"])


def test_many_runs_of_a_group_are_counted_not_listed():
    (row,) = group_table(runs(*[{}] * 9), "strategy").to_dict("records")
    assert row["n"] == 9 and row["Runs"].endswith("and 3 more")
