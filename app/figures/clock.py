"""Evaluations on the axis that the reader chose: steps, tokens trained on, or time."""

import pandas as pd

from depthscope.store import Store

from ..view import View

__all__ = ["on_axis"]


def on_axis(store: Store, view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows (with `step`) of the focus run, with `x`: the view's axis at the last logged step up to theirs.

    Rows from before anything was logged have no x and are left out. wall_time counts seconds from the first step.
    """
    if view.x == "step" or frame.empty:
        return frame.assign(x=frame["step"])
    clock = store.steps([view.focus], columns=["tokens", "wall_time"])
    clock = clock.assign(wall_time=clock["wall_time"] - clock["wall_time"].min())
    clock = clock[["step", view.x]].dropna().rename(columns={view.x: "x"}).astype({"step": "int64"})
    frame = frame.astype({"step": "int64"}).sort_values("step")
    return pd.merge_asof(frame, clock.sort_values("step"), on="step").dropna(subset=["x"])
