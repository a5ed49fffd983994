"""What was set differently between runs: the rows of their configurations that are not equal."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from .findings.collect import flat
from .text import labels, plain

__all__ = ["configuration_differences"]

OWN: Mapping[str, str] = {
    "strategy": "strategy",
    "model": "model",
    "n_layers": "layers",
    "n_params": "parameters",
    "seed": "seed",
    "data_id": "data",
    "world_size": "world size",
}
"""Columns of `run_table` that are settings too."""


def configuration_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Setting, then a column a run, for the settings in which the rows of `run_table` differ; '–' is "not set"."""
    found = {str(row["run"]): _settings(row) for row in runs.to_dict("records")}
    names = list(dict.fromkeys(name for settings in found.values() for name in settings))
    differing = [name for name in names if len({settings.get(name, "–") for settings in found.values()}) > 1]
    shown = labels(found)
    columns = {shown[run]: [plain(settings.get(name, "–")) for name in differing] for run, settings in found.items()}
    return pd.DataFrame({"Setting": [plain(name) for name in differing], **columns})


def _settings(row: Mapping[Hashable, Any]) -> dict[str, str]:
    own = {title: _text(row[name]) for name, title in OWN.items() if name in row and not pd.isna(row[name])}
    environment = {f"environment.{key}": value for key, value in flat(row.get("environment")).items()}
    return own | flat(row["config"]) | environment


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
