"""Does the residual stream grow with depth, and how: exponentially, by a constant a block, or not at all?

A Pre-LN stream adds every branch to what came before, so its variance grows and deep blocks, which read a normalized
stream but add to a large one, change it less and less (the curse of depth, arXiv 2502.05795). The papers' "exponential"
is an upper bound: both laws are fitted, from layer 2 on (layer 1 only shows the embedding's scale).
"""

from dataclasses import dataclass

import pandas as pd

from .agreement import agreement
from .finding import Check, Evidence, Finding, Severity
from .fits import Line, exponential, linear
from .frames import RunFrames, by_step
from .thresholds import OWN, THRESHOLDS

__all__ = ["CHECK", "Growth", "growth"]

NAME, TITLE = "variance_growth", "Variance growth across depth"

RULE = (
    "log variance and variance are fitted against the layer, from layer 2 on; exponential when the log fit has the "
    f"larger R² and its slope is above {THRESHOLDS.growth_rate} a block (critical when the last layer has more than "
    f"{THRESHOLDS.growth_critical:,.0f} times the variance of layer 2); flat when it has less than "
    f"{THRESHOLDS.growth_flat:g} times"
)


@dataclass(frozen=True)
class Growth:
    """Growth of the stream variance over layers 2..L at one step."""

    law: str
    """'exponential', 'linear' or 'flat'"""
    factor: float
    """variance of the last layer / variance of layer 2"""
    first: int
    last: int
    exp: Line
    lin: Line


def growth(variance: pd.Series) -> Growth | None:
    """Growth of `variance` (indexed by layer), or None with fewer than four positive values from layer 2 on."""
    values = variance[(variance.index >= 2) & (variance > 0)]
    if len(values) < THRESHOLDS.min_blocks:
        return None
    exp, lin, factor = exponential(values), linear(values), float(values.iloc[-1] / values.iloc[0])
    grows = exp.slope > THRESHOLDS.growth_rate and exp.r2 > lin.r2
    law = "exponential" if grows else "flat" if factor < THRESHOLDS.growth_flat else "linear"
    return Growth(law, factor, int(values.index[0]), int(values.index[-1]), exp, lin)


def check(frames: RunFrames) -> Finding | None:
    """The growth law at the newest sampled step; None when fewer than four layers were measured."""
    seen = [(step, found) for step, values in by_step(frames.stream, "variance") if (found := growth(values))]
    if not seen:
        return None
    step, newest = seen[-1]
    return Finding(
        name=NAME,
        title=TITLE,
        severity=severity(newest),
        sentence=sentence(step, newest),
        evidence=Evidence(
            run=frames.run,
            metric="variance",
            site="resid_post",
            phase=frames.phase,
            stack=frames.stack,
            layers=tuple(range(newest.first, newest.last + 1)),
            steps=(seen[0][0], step),
        ),
        rule=RULE,
        source=f"Curse of Depth, arXiv 2502.05795; Peri-LN, arXiv 2502.02732; thresholds: {OWN}",
        confidence=agreement([found.law for _, found in seen]),
        advice=ADVICE[newest.law],
    )


def severity(found: Growth) -> Severity:
    if found.law == "exponential":
        return "critical" if found.factor > THRESHOLDS.growth_critical else "warning"
    return "ok" if found.law == "flat" else "info"


def sentence(step: int, found: Growth) -> str:
    span = f"from layer {found.first} to {found.last} at step {step:,}"
    fits = f"R² {found.exp.r2:.3f} exponential, {found.lin.r2:.3f} linear"
    if found.law == "flat":
        return f"Stream variance changes by a factor of {found.factor:.2f} {span}: flat."
    if found.law == "exponential":
        return f"Stream variance grows {found.factor:,.1f}× {span}, by {found.exp.slope:.3f} e-folds a block ({fits})."
    return f"Stream variance grows {found.factor:,.1f}× {span}, by {found.lin.slope:,.3g} a block ({fits})."


ADVICE = {
    "exponential": "Deep blocks add little to so large a stream. Compare with LayerNorm Scaling (lns), Peri-LN (peri) "
    "or Mix-LN (mix), or scale the initialization of the output matrices by 1/sqrt(2L).",
    "linear": "Expected of Pre-LN and Peri-LN. See whether deep blocks still turn the stream (near_identity).",
    "flat": "Nothing to do.",
}

CHECK = Check(NAME, TITLE, check)
