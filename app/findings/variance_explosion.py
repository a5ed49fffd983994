"""Has the stream become so large, over depth or over time, that arithmetic suffers?"""

import pandas as pd

from .finding import Check, Evidence, Verdict
from .frames import RunFrames, by_step, highest
from .surge import Start, Surge, start, variance_surge
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
    found = variance_surge(frames.peaks, limits)
    if found is None:
        return None
    first = start(frames.histories, "variance", found.since)
    sentence = (
        f"The largest variance of the stream is {found.fold:,.3g}× what was usual in the first half of the run, at "
        f"step {found.step:,} in layer {found.layer}. {begins(first, found)}"
    )
    layers = (first.layer if first else found.layer,)
    evidence = Evidence(frames.run, "variance", "resid_post", "train", frames.stack, layers, (found.since, found.step))
    return Verdict("warning", sentence, evidence, "high" if found.samples >= 3 else "medium", ADVICE)


def begins(first: Start | None, found: Surge) -> str:
    """Where, as sampled; the embedding, layer 0, may be the one."""
    if first is None:
        return "In which layer it starts was not sampled."
    where = "the embedding (layer 0)" if first.layer == 0 else f"layer {first.layer}"
    return f"As sampled it starts in {where}, at step {found.since:,} ({first.fold:,.3g}× its own earlier values)."


def fine(frames: RunFrames, step: int, values: pd.Series) -> Verdict | None:
    if values.empty:
        return None
    largest = f"the largest variance is {values.max():,.4g}, in layer {highest(values)}, at step {step:,}"
    evidence = Evidence(frames.run, "variance", "resid_post", frames.phase, frames.stack, (), (step, step))
    return Verdict("ok", f"The stream does not explode: {largest}.", evidence, "high")


def rule(limits: Thresholds) -> str:
    return (
        f"critical when a layer has more than {limits.explosion_depth:,.0f} times the variance of layer 2; a warning "
        f"when the largest variance is more than {limits.explosion_time:,.0f} times its median in the first half of "
        "the run, which starts in the first layer that has grown, over its own earlier median, by the square root of "
        "the largest growth or more"
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
