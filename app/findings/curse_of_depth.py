"""The curse of depth: does the stream grow while the deep half of the blocks nearly passes it on?

The angle between a block's input and output (arXiv 2403.17887; block influence of ShortGPT, arXiv 2403.03853, is its
cosine) is cheap but a poor stand-in for the loss caused by removing a block (arXiv 2605.14075), so the confidence is
never 'high'. Angles are a share of 180 degrees: 0.5 is orthogonal.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, by_step, layer_range
from .remedies import remedies
from .thresholds import OWN, Thresholds
from .undertrained import too_early
from .variance_growth import newest_growth

__all__ = ["CHECK", "Idleness", "idleness"]


@dataclass(frozen=True)
class Idleness:
    """Angular distance of the two halves at one step, block 1 left out."""

    deep: float
    early: float
    idle: tuple[int, ...]
    """Deep blocks below the threshold."""
    n_deep: int
    near_identity: bool


def idleness(angle: pd.Series, n_layers: int, limits: Thresholds) -> Idleness | None:
    """Of blocks' `angle` (indexed by layer); None with fewer than four blocks or one half unmeasured."""
    angle = angle[angle.index >= 2]
    early, deep = angle[angle.index <= n_layers / 2], angle[angle.index > n_layers / 2]
    if n_layers < limits.min_blocks or early.empty or deep.empty:
        return None
    idle = tuple(int(layer) for layer in deep.index[deep < limits.identity_angle])
    mostly = len(idle) >= limits.identity_share * len(deep)
    contrast = float(deep.mean()) < limits.identity_contrast * float(early.mean())
    return Idleness(float(deep.mean()), float(early.mean()), idle, len(deep), mostly and contrast)


def angles(frames: RunFrames) -> tuple[str, list[tuple[int, pd.Series]]]:
    """The metric and its angles by step; block influence 1 - cos gives the angle where that itself was not measured."""
    measured = by_step(frames.blocks, "angular_distance")
    if measured:
        return "angular_distance", measured
    influence = by_step(frames.blocks, "block_influence")
    return "block_influence", [(step, np.arccos((1 - values).clip(-1, 1)) / np.pi) for step, values in influence]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """Whether the deep half is near identity at the newest sampled step; None when it was not measured."""
    metric, by_steps = angles(frames)
    seen = [(step, found) for step, angle in by_steps if (found := idleness(angle, frames.n_layers, limits))]
    if not seen:
        return None
    step, newest = seen[-1]
    grown = newest_growth(frames, limits)
    grows = bool(grown) and grown[-1][1].law != "flat"
    early_days = too_early(frames, limits)
    sure = agreement([found.near_identity for _, found in seen])
    return Verdict(
        severity(newest, grows, early_days),
        sentence(step, newest) + (stream(grown[-1][1].factor) if grown and newest.near_identity else ""),
        Evidence(
            run=frames.run,
            metric=metric,
            site="block",
            phase=frames.phase,
            stack=frames.stack,
            layers=newest.idle if newest.near_identity else (),
            steps=(seen[0][0], step),
        ),
        "low" if newest.near_identity and early_days else "medium" if sure == "high" else sure,
        f"{ADVICE}{remedies(frames.strategy)}." if newest.near_identity else NOTHING,
    )


def severity(found: Idleness, grows: bool, early_days: str) -> Severity:
    """Idle deep blocks in a growing stream are the curse; in a flat one, or in a young run, they are only noted."""
    if not found.near_identity:
        return "ok"
    return "warning" if grows and not early_days else "info"


def sentence(step: int, found: Idleness) -> str:
    means = f"mean angle {found.deep:.3f} against {found.early:.3f} in the early half (0.5 is a right angle)"
    if not found.near_identity:
        return f"The deep half still turns the stream at step {step:,}: {means}."
    idle = f"{len(found.idle)} of {found.n_deep} deep blocks ({layer_range(found.idle)})"
    return f"{idle} nearly pass their input on at step {step:,}: {means}."


def stream(factor: float) -> str:
    return f" The variance of the stream grows {factor:,.1f}× over depth."


def rule(limits: Thresholds) -> str:
    return (
        f"at least {limits.identity_share:.0%} of the blocks past the middle turn the stream by less than "
        f"{limits.identity_angle:g} of 180 degrees, and their mean angle is below {limits.identity_contrast:g} "
        "times that "
        "of the early half without block 1; a warning when the variance of the stream is not flat too and the "
        "run is not "
        "too young for it (undertrained), else noted"
    )


ADVICE = (
    "Measure what skipping these blocks costs before believing it: small angles alone do not prove it. If skipping "
    "costs nothing late in training too, they can be pruned (ShortGPT, arXiv 2403.03853). Proposed against it: "
)

CHECK = Check(
    "curse_of_depth",
    "Curse of depth",
    "Do deep blocks still turn the stream, or do they nearly pass it on?",
    check,
    rule,
    f"The Curse of Depth, arXiv 2502.05795; arXiv 2403.17887; caveat: arXiv 2605.14075; thresholds: {OWN}",
)
