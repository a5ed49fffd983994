"""Has the stream become so large, over depth or over time, that arithmetic suffers?"""

import pandas as pd

from .finding import Check, Evidence, Verdict
from .frames import RunFrames, by_step, highest
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """'critical' over depth, a warning over time; None when no variance was measured."""
    seen = by_step(frames.stream, "variance")
    if not seen:
        return None
    step, values = seen[-1]
    values = values[(values.index >= 2) & (values > 0)]
    if len(values) and values.max() > limits.explosion_depth * values.iloc[0]:
        return over_depth(frames, step, values, limits)
    return over_time(frames, limits) or fine(frames, step, values)


def over_depth(frames: RunFrames, step: int, values: pd.Series, limits: Thresholds) -> Verdict:
    past = values[values > limits.explosion_depth * values.iloc[0]]
    jumps = (values / values.shift()).dropna()
    worst, at = float(jumps.max()), highest(jumps)
    sentence = (
        f"The variance of the stream is {values.max() / values.iloc[0]:,.3g}× that of layer {values.index[0]} at step "
        f"{step:,}; layer {past.index[0]} is the first past {limits.explosion_depth:,.0f}×, and block {at} makes the "
        f"largest jump ({worst:,.3g}×)."
    )
    layers = tuple(int(layer) for layer in past.index)
    evidence = Evidence(frames.run, "variance", "resid_post", frames.phase, frames.stack, layers, (step, step))
    return Verdict("critical", sentence, evidence, "high", ADVICE)


def over_time(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The same over steps: the newest largest variance against the first half of the run; None when it did not grow."""
    peaks = frames.peaks.dropna(subset=["variance"])
    if len(peaks) < 2 * limits.min_blocks:
        return None
    usual = float(peaks["variance"].iloc[: len(peaks) // 2].median())
    newest = peaks.iloc[-1]
    if not newest["variance"] > limits.explosion_time * usual > 0:
        return None
    step, layer = int(newest["step"]), int(newest["variance_layer"])
    above = peaks.loc[peaks["variance"] > limits.explosion_time * usual, "step"]
    sentence = (
        f"The largest variance of the stream, in layer {layer}, is {newest['variance'] / usual:,.3g}× what was "
        "usual in "
        f"the first half of the run, at step {step:,}."
    )
    evidence = Evidence(
        frames.run, "variance", "resid_post", "train", frames.stack, (layer,), (int(above.iloc[0]), step)
    )
    return Verdict("warning", sentence, evidence, "high" if len(above) >= 3 else "medium", ADVICE)


def fine(frames: RunFrames, step: int, values: pd.Series) -> Verdict | None:
    if values.empty:
        return None
    largest = f"the largest variance is {values.max():,.4g}, in layer {highest(values)}, at step {step:,}"
    evidence = Evidence(frames.run, "variance", "resid_post", frames.phase, frames.stack, (), (step, step))
    return Verdict("ok", f"The stream does not explode: {largest}.", evidence, "high")


def rule(limits: Thresholds) -> str:
    return (
        f"critical when a layer has more than {limits.explosion_depth:,.0f} times the variance of layer 2; a "
        "warning when "
        f"the largest variance is more than {limits.explosion_time:,.0f} times its median in the first half of the run"
    )


ADVICE = (
    "Lower the learning rate or clip gradients, and bound what branches add: Peri-LN (peri, arXiv 2502.02732), or "
    "LayerNorm Scaling (lns, arXiv 2502.05795)."
)

CHECK = Check(
    "variance_explosion",
    "Variance explosion",
    "Has the stream become so large, over depth or over time, that arithmetic suffers?",
    check,
    rule,
    f"Peri-LN, arXiv 2502.02732; thresholds: {OWN}",
)
