"""Frames for tests of the findings: twelve blocks, five sampled steps, one number a layer."""

from collections.abc import Callable, Iterable

import pandas as pd

from depthscope.app.findings import FINDINGS, THRESHOLDS, Finding, RunFrames, Thresholds

__all__ = ["BLOCKS", "STEPS", "by_layer", "find", "frames", "history", "layers_of", "peaks", "silent"]

STEPS = (100, 200, 300, 400, 500)
BLOCKS = range(1, 13)


def by_layer(
    column: str, value: Callable[[int], float], layers: Iterable[int] = range(13), steps: Iterable[int] = STEPS
) -> pd.DataFrame:
    """A frame with `value(layer)` at every step."""
    rows = [{"step": step, "layer": layer, column: float(value(layer))} for step in steps for layer in layers]
    return pd.DataFrame(rows)


def frames(**fields) -> RunFrames:
    """A run of twelve blocks, sampled five times up to step 500."""
    return RunFrames(**({"run": "r", "strategy": "pre", "n_layers": 12, "last_step": 500, "sampled": 5} | fields))


def layers_of(*placements: str) -> pd.DataFrame:
    """The table of layers of blocks with these placements."""
    return pd.DataFrame({"layer": range(1, len(placements) + 1), "norm_placement": placements, "n_params": 10})


def peaks(column: str, values: Iterable[float], layer: int = 12) -> pd.DataFrame:
    """The largest values over the layers at steps 0, 10, 20, ..., found in `layer`."""
    table = RunFrames("").peaks.reindex(range(len(list(values))))
    named = {"step": [10.0 * i for i in range(len(table))], column: list(values)}
    return table.assign(**named, variance_layer=float(layer), gradient_layer=float(layer))


def history(metric: str, usual: Callable[[int], float], grown: dict[int, float], since: int = 80) -> pd.DataFrame:
    """Values of twelve layers at steps 0, 10, ... up to `since`, at which some have grown."""
    rows = by_layer("value", usual, BLOCKS, range(0, since + 10, 10)).assign(metric=metric)
    at = rows["step"] == since
    rows.loc[at, "value"] *= rows.loc[at, "layer"].map(lambda layer: grown.get(layer, 1.0))
    return rows


def find(name: str, data: RunFrames, limits: Thresholds = THRESHOLDS) -> Finding:
    """The finding `name`; the test fails where there is none."""
    finding = FINDINGS[name].run(data, limits)
    assert finding is not None, f"{name} has nothing to say"
    return finding


def silent(name: str, data: RunFrames) -> bool:
    """Whether the finding `name` says nothing."""
    return FINDINGS[name].run(data) is None
