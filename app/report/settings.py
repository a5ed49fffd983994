"""Configuration and environment of the runs, side by side: first what differs, then everything."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..text import plain
from .tables import Sheet

__all__ = ["flat", "read", "settings_sheets"]


def settings_sheets(runs: pd.DataFrame) -> dict[str, Sheet]:
    """Title -> table with a row a key and a column a run; `runs` are rows of run_table. Empty tables are left out."""
    names = [plain(run) for run in runs["run"]]
    config = [flat(read(text)) for text in runs["config"]]
    environment = [flat(read(text)) for text in runs["environment"]]
    sheets = {
        "Configuration that differs": compare(names, config, differing=True) if len(names) > 1 else Sheet(),
        "Configuration": compare(names, config),
        "Environment that differs": compare(names, environment, differing=True) if len(names) > 1 else Sheet(),
        "Environment": compare(names, environment),
    }
    return {title: sheet for title, sheet in sheets.items() if sheet.rows}


def read(text: object) -> Mapping[str, Any]:
    """A JSON column of the store: an object as text, or NULL."""
    value = json.loads(text) if isinstance(text, str) else None
    return value if isinstance(value, Mapping) else {}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys, values as JSON: 'optimizer.lr' -> '0.001'."""
    found: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            found |= flat(item, f"{name}.")
        else:
            found[name] = item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
    return found


def compare(runs: list[str], values: list[dict[str, str]], differing: bool = False) -> Sheet:
    """One row a key, one column a run; with `differing`, only keys whose values are not all the same."""
    keys = sorted({key for each in values for key in each})
    if differing:
        keys = [key for key in keys if len({each.get(key) for each in values}) > 1]
    rows = tuple((plain(key), *(plain(each.get(key, "")) for each in values)) for key in keys)
    return Sheet(("Key", *runs), rows)
