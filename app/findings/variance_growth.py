"""Does the residual stream grow with depth, and how: exponentially, more slowly, or not at all?

A Pre-LN stream adds every branch to what came before, so its variance grows. The papers' "exponential" is an upper
bound: both laws are fitted, from layer 2 on (layer 1 only shows the embedding's scale), on the mean over tokens and
on the median, because a few sink tokens can carry the mean.
"""

import math

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .fits import Growth, growth
from .frames import RunFrames, by_step
from .remedies import remedies
from .thresholds import OWN, Thresholds
from .undertrained import too_early

__all__ = ["CHECK", "newest_growth"]


def newest_growth(frames: RunFrames, limits: Thresholds, column: str = "variance") -> list[tuple[int, Growth]]:
    """(step, growth) of the recent steps with enough layers, oldest first."""
    fitted = [(step, growth(values, limits)) for step, values in by_step(frames.stream, column)]
    return [(step, found) for step, found in fitted if found]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The growth law at the newest sampled step; None when fewer than four layers were measured."""
    seen = newest_growth(frames, limits)
    if not seen:
        return None
    step, newest = seen[-1]
    medians = dict(newest_growth(frames, limits, "variance_median"))
    median = medians.get(step)
    alone = median is not None and median.law == "flat" and newest.law != "flat"
    return Verdict(
        severity(newest, noted=alone or bool(too_early(frames, limits))),
        sentence(step, newest, limits) + typical(newest, median),
        Evidence(
            run=frames.run,
            metric="variance",
            site="resid_post",
            phase=frames.phase,
            stack=frames.stack,
            layers=tuple(range(newest.first, newest.last + 1)),
            steps=(seen[0][0], step),
        ),
        agreement([found.law for _, found in seen]),
        advice(newest.law, frames.strategy),
    )


def severity(found: Growth, noted: bool) -> Severity:
    """`noted`: the median token's variance is flat, so it is a matter of few tokens, or the run is too young."""
    if found.law == "exponential":
        return "info" if noted else "warning"
    return "ok" if found.law == "flat" else "info"


def sentence(step: int, found: Growth, limits: Thresholds) -> str:
    span = f"from layer {found.first} to {found.last} at step {step:,}"
    fits = f"R² {found.exp.r2:.3f} exponential, {found.lin.r2:.3f} linear"
    if found.law == "flat":
        return f"The variance of the stream changes by a factor of {found.factor:.2f} {span}: flat."
    grows = f"The variance of the stream grows {found.factor:,.1f}× {span}"
    if found.law == "exponential":
        return f"{grows}, exponentially: {math.exp(found.exp.slope):,.3g}× a block ({fits})."
    if max(found.exp.r2, found.lin.r2) < limits.growth_fit:
        return f"{grows}, neither exponentially nor along a line ({fits})."
    return f"{grows}, not exponentially: by about {found.lin.slope:,.3g} a block ({fits})."


def typical(mean: Growth, median: Growth | None) -> str:
    """How the median token fares; '' where it was not measured or says the same."""
    if median is None or median.law == mean.law:
        return ""
    carried = median.law == "flat" or mean.factor > 2 * median.factor
    means = "few tokens carry the mean" if carried else "the two laws lie too close to be told apart"
    return f" The median token's grows {median.factor:,.1f}× ({median.law}): {means}."


def rule(limits: Thresholds) -> str:
    return (
        "variance and its logarithm are fitted against the layer, from layer 2 on; flat when the last layer has less "
        f"than {limits.growth_flat:g} times the variance of layer 2; exponential (a warning) when the fit of the "
        f"logarithm has the larger R², at least {limits.growth_fit:g}, and a slope above {limits.growth_rate:g} a "
        "block; else linear; only noted where the median token's variance is flat or the run too young (undertrained)"
    )


def advice(law: str, strategy: str | None) -> str:
    if law == "flat":
        return NOTHING
    if law == "linear":
        return "Expected where every block adds to the stream. See whether deep blocks still turn it (Curse of depth)."
    return (
        f"Deep blocks add little to so large a stream. Compare with {remedies(strategy)}, or scale the initialization "
        "of the output matrices by 1/sqrt(2L)."
    )


CHECK = Check(
    "variance_growth",
    "Variance growth across depth",
    "Does the residual stream grow with depth, and by which law?",
    check,
    rule,
    f"The Curse of Depth, arXiv 2502.05795; Peri-LN, arXiv 2502.02732; thresholds: {OWN}",
)
