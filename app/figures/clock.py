"""Steps on the axis that the reader chose: steps, tokens trained on, or time."""

from collections.abc import Sequence

import pandas as pd

from depthscope.store import Store, sampled_steps

from ..view import View

__all__ = ["on_axis", "placed", "sampled_clock", "steps_around"]


def on_axis(store: Store, view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows (with `step`) of the focus run, with `x`: the view's axis at the last logged step up to theirs.

    Rows from before anything was logged have no x and are left out. wall_time counts seconds from the first step.
    """
    if view.x == "step" or frame.empty:
        return frame.assign(x=frame["step"])
    clock = store.steps([view.focus], columns=["tokens", "wall_time"])
    clock = clock.assign(wall_time=clock["wall_time"] - clock["wall_time"].min())
    return placed(frame, _clock(clock, view.x))


def sampled_clock(store: Store, run: str, phase: str, x: str) -> pd.DataFrame:
    """Columns step and x of the sampled steps of a run, ascending; those without a place on x are left out."""
    return _clock(sampled_steps(store, [run], phase), x)


def _clock(steps: pd.DataFrame, x: str) -> pd.DataFrame:
    clock = steps.assign(x=steps[x])[["step", "x"]].dropna()
    return clock.astype({"step": "int64"}).sort_values("step")


def placed(frame: pd.DataFrame, clock: pd.DataFrame) -> pd.DataFrame:
    """Rows (with `step`) with the `x` of the last step of the clock up to theirs; rows from before it are left out."""
    frame = frame.astype({"step": "int64"}).sort_values("step")
    return pd.merge_asof(frame, clock, on="step").dropna(subset=["x"])


def steps_around(clock: pd.DataFrame, zoom: Sequence[float]) -> tuple[int | None, int | None]:
    """The first and last step of a stretch of x, widened to the steps of the clock at or around its ends."""
    if not zoom:
        return None, None
    before = clock.loc[clock["x"] <= zoom[0], "step"].max()
    after = clock.loc[clock["x"] >= zoom[1], "step"].min()
    return (None if pd.isna(before) else int(before)), (None if pd.isna(after) else int(after))
