"""Do the activations fit into float16, and when will they no longer?"""

import numpy as np
import pandas as pd

from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .fits import linear
from .frames import RunFrames, in_forward_order
from .thresholds import OWN, Thresholds

__all__ = ["CHECK", "forecast"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """What is left of float16's range at the newest sampled step; None when abs_max was not measured."""
    sizes = frames.extremes[frames.extremes["abs_max"] < float("inf")]
    if sizes.empty:
        return None
    step = int(sizes["step"].max())
    newest = in_forward_order(sizes[sizes["step"] == step])
    largest = newest.nlargest(1, "abs_max")
    top, over = largest.iloc[0], newest[newest["abs_max"] > limits.float16_max]
    at = forecast(frames.peaks, limits) if over.empty else None
    headroom = limits.float16_max / float(top["abs_max"]) if top["abs_max"] else float("inf")
    judged = severity(headroom, at, frames.dtype, limits)
    layers = tuple(sorted({int(layer) for layer in (over if len(over) else largest)["layer"]}))
    evidence = Evidence(frames.run, "abs_max", str(top["site"]), frames.phase, frames.stack, layers, (step, step))
    said = sentence(step, top, over, at, headroom)
    return Verdict(
        judged, said, evidence, "medium" if at is not None else "high", NOTHING if judged == "ok" else ADVICE
    )


def forecast(peaks: pd.DataFrame, limits: Thresholds) -> int | None:
    """The step at which the largest activation reaches float16's maximum, by a line through the newer half of the run.

    None when it does not grow, when no line fits, or when the step is too far away for a line to be believed.
    """
    sizes = peaks.dropna(subset=["abs_max"])
    sizes = sizes.iloc[len(sizes) // 2 :]
    if len(sizes) < limits.min_blocks:
        return None
    line = linear(pd.Series(sizes["abs_max"].to_numpy(dtype=float), index=sizes["step"].to_numpy()))
    if line.slope <= 0 or line.r2 < limits.forecast_fit:
        return None
    at = (limits.float16_max - line.intercept) / line.slope
    last = float(sizes["step"].iloc[-1])
    return int(np.ceil(at)) if last < at < limits.forecast_horizon * max(last, 1) else None


def severity(headroom: float, at: int | None, dtype: str, limits: Thresholds) -> Severity:
    """A fault only where float16 is used; elsewhere it says that the model would not fit."""
    if headroom > limits.headroom_noted and at is None:
        return "ok"
    if dtype != "float16":
        return "warning" if headroom < 1 else "info"
    return "critical" if headroom < 1 else "warning"


def sentence(step: int, top: pd.Series, over: pd.DataFrame, at: int | None, headroom: float) -> str:
    largest = f"{float(top['abs_max']):,.4g} in layer {int(top['layer'])} ({top['site']}) at step {step:,}"
    if len(over):
        first = over.iloc[0]
        return (
            f"Activations do not fit into float16: layer {int(first['layer'])} ({first['site']}) is the first past its "
            f"maximum with {float(first['abs_max']):,.4g}; the largest is {largest}."
        )
    said = f"The largest activation, {largest}, uses 1/{headroom:,.0f} of float16's range"
    return f"{said}; at its present growth it is full at about step {at:,}." if at is not None else f"{said}."


def rule(limits: Thresholds) -> str:
    return (
        f"float16 ends at {limits.float16_max:,.0f}: noted when less than {limits.headroom_noted:g}× of it is "
        "left, or when "
        f"a line through the newer half of the run (R² at least {limits.forecast_fit:g}) reaches it within "
        f"{limits.forecast_horizon:g} times the steps so far; a warning past it, and in a float16 model; "
        "critical with both"
    )


ADVICE = (
    "Train in bfloat16 or keep these sites in float32, or bound the branches as Peri-LN does (peri, arXiv 2502.02732)."
)

CHECK = Check(
    "half_precision",
    "Room in float16",
    "Do the activations fit into float16, and when will they no longer?",
    check,
    rule,
    f"IEEE 754; Peri-LN, arXiv 2502.02732; thresholds: {OWN}",
)
