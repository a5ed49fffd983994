"""Fewer points for paper: neighbouring buckets are merged, their minimum, maximum and last value kept."""

import numpy as np
import pandas as pd

__all__ = ["thin"]


def thin(frame: pd.DataFrame, points: int) -> pd.DataFrame:
    """`frame` with at most `points` rows a line; a frame without buckets (step, low, high, last) is left as it is.

    A line is a run, or a layer of a run. A bucket that holds a NaN or Inf keeps it as its maximum, so none is lost.
    """
    if not {"low", "high", "last", "step"} <= set(frame.columns) or frame.empty:
        return frame
    lines = [name for name in ("run", "layer") if name in frame.columns]
    # All lines are cut at the same places, so that a heatmap stays a grid.
    places = np.sort(frame["step"].unique())
    if len(places) <= points:
        return frame
    bucket = np.searchsorted(places, frame["step"].to_numpy()) * points // len(places)
    merged = frame.assign(_bucket=bucket).sort_values("step", kind="stable").groupby([*lines, "_bucket"], sort=False)
    kept = merged.tail(1).set_index([*lines, "_bucket"])
    kept["low"] = merged["low"].min()
    kept["high"] = merged["high"].agg(_largest)
    columns = list(frame.columns)
    return kept.reset_index()[columns]


def _largest(values: pd.Series) -> float:
    return float(np.maximum.reduce(values.to_numpy(dtype=np.float64, na_value=np.nan)))  # NaN wins, as in the database
