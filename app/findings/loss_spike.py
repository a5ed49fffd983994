"""Did the loss spike, and which layer left its usual range first?

The layer is the earliest one seen to deviate at a sampled step. Between sampled steps nothing is seen, and what
deviates first need not be the cause.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .finding import Check, Evidence, Verdict
from .frames import RunFrames, layer_range
from .thresholds import OWN, Thresholds

__all__ = ["CHECK", "Deviation", "earliest"]

# Steps close to a spike that belong to it, and the least number of earlier samples that make a usual range.
SAME, USUAL = 5, 5
# A statistic that hardly varies would deviate by rounding: the spread of its logarithm is taken as 5 % at least.
LEAST_SPREAD = 0.05
# Within a step the forward comes before the backward.
FORWARD = "variance"


@dataclass(frozen=True)
class Deviation:
    """The first layer outside of its usual range."""

    step: int
    layer: int
    metric: str
    fold: float
    """Value over its usual one."""
    layers: tuple[int, ...]
    """Every layer outside of its range at that step."""


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The worst spike, a warning; 'ok' with enough losses and none; None with too few losses."""
    if frames.losses.count < 11:
        return None
    found = spikes(frames.spikes, limits)
    if found.empty:
        sentence = f"No spike in {frames.losses.count:,} losses."
        return Verdict("ok", sentence, Evidence(frames.run, "loss", "", "train", frames.stack), "high")
    worst = found.nlargest(1, "rise").iloc[0]
    step = int(worst["step"])
    first = earliest(frames.around, step, limits)
    again = len({int(at) // SAME for at in found["step"]})
    sentence = (
        f"The loss jumps to {worst['loss']:.3f} at step {step:,}, from a median of {worst['median']:.3f} over "
        "the steps "
        f"before{f' (the largest of about {again} spikes)' if again > 1 else ''}. {looked(frames, first)}"
    )
    layers = first.layers if first else ()
    evidence = Evidence(
        frames.run,
        first.metric if first else "loss",
        site(first),
        "train",
        frames.stack,
        layers,
        (from_step(first, step), step),
    )
    return Verdict("warning", sentence, evidence, "medium" if first else "high", ADVICE)


def spikes(rows: pd.DataFrame, limits: Thresholds) -> pd.DataFrame:
    """The rows that are spikes, with their `rise` above the median."""
    rise, usual = rows["loss"] - rows["median"], rows["median"].abs()
    high = (rise > limits.spike_mads * rows["mad"]) & (rise > limits.spike_rise * usual)
    far = (rise > limits.spike_far_mads * rows["mad"]) & (rise > limits.spike_far_rise * usual)
    return rows.assign(rise=rise)[high | far]


def earliest(around: pd.DataFrame, step: int, limits: Thresholds) -> Deviation | None:
    """The first layer outside of its usual range near `step`: by step, then forward before backward, then by depth.

    The usual range is that of its earlier samples.
    """
    rows = around[(around["value"] > 0) & (around["value"] < math.inf)]
    near = [int(at) for at in sorted(set(rows["step"])) if at > step - SAME]
    if not near:
        return None
    before = rows[rows["step"] < near[0]]
    usual = {
        key: usual_range(group["value"]) for key, group in before.groupby(["metric", "layer"]) if len(group) >= USUAL
    }
    for at in near:
        out = [
            (metric != FORWARD, int(layer), metric, value / math.exp(usual[metric, layer][0]))
            for metric, layer, value in rows.loc[rows["step"] == at, ["metric", "layer", "value"]].itertuples(
                index=False
            )
            if (metric, layer) in usual and deviates(value, *usual[metric, layer], limits)
        ]
        if out:
            _, layer, metric, fold = min(out)
            return Deviation(at, layer, str(metric), fold, tuple(sorted({layer for _, layer, _, _ in out})))
    return None


def usual_range(values: pd.Series) -> tuple[float, float]:
    """Median and median absolute deviation of the logarithm."""
    logs = np.log(values.to_numpy(dtype=float))
    median = float(np.median(logs))
    return median, max(float(np.median(np.abs(logs - median))), LEAST_SPREAD)


def deviates(value: float, median: float, spread: float, limits: Thresholds) -> bool:
    off = abs(math.log(value) - median)
    return off > limits.deviation * spread and off > math.log(limits.deviation_fold)


def looked(frames: RunFrames, first: Deviation | None) -> str:
    """What the sampled layers show; never a cause."""
    if frames.around.empty:
        return "No layer was sampled near it."
    if first is None:
        return "No sampled layer leaves its usual range before or at the next sample."
    return (
        f"The earliest layer seen outside of its usual range is layer {first.layer}, at sampled step {first.step:,} "
        f"({first.metric} {first.fold:,.3g}× its usual value; {layer_range(first.layers)} in all): a place to "
        "look, not "
        "a proven cause."
    )


def site(first: Deviation | None) -> str:
    return "" if first is None else "resid_post" if first.metric == FORWARD else "block"


def from_step(first: Deviation | None, step: int) -> int:
    return min(first.step, step) if first else step


def rule(limits: Thresholds) -> str:
    return (
        f"a loss more than {limits.spike_mads:g} median absolute deviations and {limits.spike_rise:.0%} above the "
        f"median of up to 25 losses before it, or {limits.spike_far_mads:g} of them and {limits.spike_far_rise:.0%}; a "
        f"layer deviates when the logarithm of its variance or gradient norm is more than {limits.deviation:g} median "
        "absolute deviations from that of its earlier samples, and the value "
        f"{limits.deviation_fold:g} times larger or smaller"
    )


ADVICE = (
    "Look at the heatmaps around these steps and at the batch. Sample more often (every=1) to see which layer "
    "comes first; "
    "clipping and a lower learning rate help most runs (Spike No More, arXiv 2312.16903)."
)

CHECK = Check(
    "loss_spike",
    "Loss spikes",
    "Did the loss spike, and which layer was seen to leave its usual range first?",
    check,
    rule,
    f"Spike No More, arXiv 2312.16903; thresholds: {OWN}",
)
