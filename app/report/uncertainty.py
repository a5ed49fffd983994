"""What is known of the errors of a figure's values: inside one measurement, and from seed to seed."""

from collections.abc import Mapping

import pandas as pd

from ..findings.comparison import learning_rates
from .tables import cell

__all__ = ["SAMPLE", "seed_groups", "uncertainty"]

SAMPLE = 4096
"""Entries that a sampled median rests on at most, as its definition says."""

VALUES = ("value", "delta", "loss", "top", "last")
"""Columns that hold what a figure draws; the first that is there."""
ERRORS = ("delta_se", "loss_se", "error")
KEYS = (
    *("metric", "phase", "stack", "site", "layer", "action", "span", "kind", "measure", "later_layer"),
    *("definition", "pattern", "scope", "ranking", "weights", "sparsity", "matrix", "threshold"),
)
"""Columns that tell two values of one run apart, beside the step."""
SAME = ("strategy", "n_layers", "n_params", "tokens", "data_id")
"""Columns of run_table that are equal where two runs differ in the seed alone, beside the learning rate."""

UNKNOWN = "no two of these runs differ in the seed alone, so the spread over seeds is not known"


def seed_groups(runs: pd.DataFrame) -> Mapping[str, int]:
    """Run -> number of its group: rows of run_table that differ in the seed alone. Runs on their own are left out."""
    known = runs.assign(rate=learning_rates(runs).to_numpy())[[*SAME, "rate"]].astype("object").fillna("")
    number = known.groupby([*SAME, "rate"], sort=False).ngroup()
    several = number.groupby(number).transform("size") > 1
    return {str(run): int(group) for run, group in zip(runs["run"][several], number[several], strict=True)}


def uncertainty(frame: pd.DataFrame, reduction: str, groups: Mapping[str, int]) -> str:
    """The errors of the values in `frame`, in words; `reduction` is that of the metric shown, '' of several."""
    return "; ".join([inside(frame, reduction), between(frame, groups)])


def inside(frame: pd.DataFrame, reduction: str) -> str:
    """The error of one measurement."""
    errors = next((frame[name].dropna() for name in ERRORS if name in frame.columns), pd.Series(dtype="float64"))
    if len(errors):
        size = f"{cell(float(errors.median()))} in the middle, {cell(float(errors.max()))} at most"
        return f"standard errors are paired (same tokens) and clustered by sequence: {size}"
    if "sampled median" in reduction:
        off = 98 / SAMPLE**0.5
        return (
            f"a median of at most {SAMPLE:,} sampled entries: 95 times of 100 between the {50 - off:.1f}th and the "
            f"{50 + off:.1f}th percentile of all"
        )
    if "sampled" in reduction:
        return f"an estimate from sampled entries ({reduction.removeprefix('sampled: ')}), whose error is not measured"
    if {"low", "high"} <= set(frame.columns):
        return "bands are the range inside each bucket of steps, not an error"
    return "each value is exact for its batch; how far another batch would lie is not measured"


def between(frame: pd.DataFrame, groups: Mapping[str, int]) -> str:
    """The spread from seed to seed of the newest values, over the runs that differ in nothing else."""
    value = next((name for name in VALUES if name in frame.columns), None)
    own = frame[frame["run"].isin(groups)] if value and "run" in frame.columns else frame.iloc[:0]
    if own.empty:
        return UNKNOWN
    keys = [name for name in KEYS if name in frame.columns]
    if "step" in own.columns:
        own = own[own["step"] == own.groupby(["run", *keys], dropna=False)["step"].transform("max")]
    spread = by_seed(own.assign(group=own["run"].map(groups)), str(value), ["group", *keys])
    if spread.empty:
        return UNKNOWN
    seeds = f"{int(spread['count'].min())}" if spread["count"].nunique() == 1 else "2 or more"
    relative = "" if value == "delta" else " of the mean"
    middle, most = (amount(float(number), relative) for number in (spread["off"].median(), spread["off"].max()))
    return f"standard deviation over {seeds} seeds: {middle} in the middle, {most} at most{relative}"


def by_seed(rows: pd.DataFrame, value: str, keys: list[str]) -> pd.DataFrame:
    """count and `off`, the sample's standard deviation, of each value that at least two seeds have: relative to the
    mean, but for differences, whose mean may be 0."""
    kept = rows[rows[value].abs() < float("inf")].astype({value: "float64"})
    found = kept.groupby(keys, dropna=False)[value].agg(["count", "mean", "std"])
    found = found[(found["count"] > 1) & ((found["mean"] != 0) | (value == "delta"))]
    return found.assign(off=found["std"] if value == "delta" else found["std"] / found["mean"].abs())


def amount(number: float, relative: str) -> str:
    return f"{number:.1%}" if relative else cell(number)
