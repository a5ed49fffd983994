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
    frame = frame.reset_index(drop=True)
    bucket = np.searchsorted(places, frame["step"].to_numpy()) * points // len(places)
    keys = [*(frame[name] for name in lines), pd.Series(bucket, index=frame.index)]
    ordered = frame.assign(_nan=frame["high"].isna()).sort_values("step", kind="stable")
    merged = ordered.groupby(keys, sort=False)
    kept = merged.tail(1).sort_index()
    kept["low"] = merged["low"].transform("min")[kept.index]
    # NaN wins, as a spike would: pandas passes it over.
    kept["high"] = merged["high"].transform("max")[kept.index].mask(merged["_nan"].transform("any")[kept.index])
    return kept.drop(columns="_nan").reset_index(drop=True)
