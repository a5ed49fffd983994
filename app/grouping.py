"""Runs in groups: by strategy, by seed, or by any setting in which they differ."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import pandas as pd

from .findings.collect import flat as read_flat
from .text import plain, short

__all__ = ["group_keys", "group_table", "groups_of"]

flat = lru_cache(maxsize=8192)(read_flat)
"""A store of a thousand runs has a thousand configurations, which every key is looked up in."""

OWN = ("strategy", "seed", "group_name", "n_layers")
"""Columns of `run_table` that can group runs; other keys are those of the configuration."""

WORDS = {"strategy": "strategy", "seed": "seed", "group_name": "group", "n_layers": "layers"}


def group_keys(runs: pd.DataFrame) -> dict[str, str]:
    """Key -> words: strategy always, then what differs between some runs and is shared by some others."""
    found = {"strategy": "strategy"}
    for key in [*OWN[1:], *_config_keys(runs)]:
        groups = groups_of(runs, key)
        if len(set(groups.values())) > 1:
            found[key] = WORDS.get(key, plain(key))
    return found


def _config_keys(runs: pd.DataFrame) -> list[str]:
    return sorted({f"config.{key}" for text in runs["config"] for key in flat(text)})


def groups_of(runs: pd.DataFrame, key: str) -> dict[str, str]:
    """Run -> the name of its group: the value of `key`, with its name where the value alone says nothing."""
    return {str(row["run"]): _group(row, key) for row in runs.to_dict("records")}


def _group(row: Mapping[object, object], key: str) -> str:
    if key.startswith("config."):
        name = key.removeprefix("config.")
        return f"{short(name, 24)} = {short(flat(row['config']).get(name, '–'), 24)}"
    value = row[key] if key in OWN else None
    missing = value is None or value is pd.NA or (isinstance(value, float) and value != value) or value == ""
    if key == "strategy":
        return "unknown" if missing else str(value)
    text = "–" if missing else str(int(value)) if isinstance(value, float) else str(value)
    return f"{WORDS.get(key, key)} {text}"


def group_table(runs: pd.DataFrame, key: str) -> pd.DataFrame:
    """One row a group of rows of `run_table`: n, mean and standard deviation of the last loss, the lowest, and steps.

    The deviation is that of the sample and missing for a group of one.
    """
    frame = runs.assign(group=list(groups_of(runs, key).values()))
    parts = frame.groupby("group", sort=True)
    table = pd.DataFrame(
        {
            "n": parts.size(),
            "Mean last loss": parts["last_loss"].mean(),
            "Standard deviation": parts["last_loss"].std(),
            "Lowest loss": parts["min_loss"].min(),
            "Steps": parts["last_step"].max().astype("Int64"),
            "NaN or Inf": parts["nonfinite"].sum().astype("Int64"),
            "Runs": [", ".join(short(run, 36) for run in _first(rows["run"])) for _, rows in parts],
        }
    )
    table.insert(0, "Group", [plain(name) for name in table.index])
    return table.reset_index(drop=True)


def _first(names: Sequence[str] | pd.Series, most: int = 6) -> list[str]:
    found = [str(name) for name in names]
    return found if len(found) <= most else [*found[:most], f"and {len(found) - most} more"]
