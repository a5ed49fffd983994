"""Do early and deep blocks learn alike? The ratio of their mean parameter gradient norms.

Pre-LN gives deep blocks less gradient, Post-LN early ones (Mix-LN, arXiv 2412.13795; Xiong et al., arXiv 2002.04745).
Adam divides gradient scale out, so a moderate skew is no fault by itself; a large one is.
"""

from dataclasses import dataclass

import pandas as pd

from .agreement import agreement
from .finding import Check, Evidence, Finding, Severity
from .frames import RunFrames, by_step
from .thresholds import OWN, THRESHOLDS

__all__ = ["CHECK", "Skew", "skew"]

NAME, TITLE = "gradient_skew", "Gradients across depth"


@dataclass(frozen=True)
class Skew:
    """Gradient of the deep half over that of the early half at one step."""

    ratio: float
    """mean over l > L/2 divided by mean over 1 <= l <= L/2; 0 and inf when one half has no gradient at all"""
    spread: float
    """largest over smallest block"""
    early: tuple[int, ...]
    deep: tuple[int, ...]

    @property
    def fold(self) -> float:
        """The ratio or its inverse, whichever is at least 1."""
        return max(self.ratio, 1 / self.ratio) if self.ratio else float("inf")


def skew(norms: pd.Series, n_layers: int) -> Skew | None:
    """Skew of gradient `norms` (indexed by layer); None with too few blocks or no gradient anywhere."""
    early, deep = norms[norms.index <= n_layers / 2], norms[norms.index > n_layers / 2]
    if n_layers < THRESHOLDS.min_blocks or early.empty or deep.empty or not norms.any():
        return None
    ratio = float(deep.mean() / early.mean()) if early.any() else float("inf")
    spread = float(norms.max() / norms.min()) if norms.all() else float("inf")
    return Skew(ratio, spread, tuple(early.index), tuple(deep.index))


def check(frames: RunFrames) -> Finding | None:
    """The skew at the newest sampled step with gradients; None when there is none or the model is too shallow."""
    found = [(step, skew(norms, frames.n_layers)) for step, norms in by_step(frames.gradients, "param_grad_norm")]
    seen = [(step, one) for step, one in found if one]
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
            metric="param_grad_norm",
            site="block",
            phase="train",
            stack=frames.stack,
            layers=newest.early + newest.deep,
            steps=(seen[0][0], step),
        ),
        rule=f"mean gradient norm of the deep half over that of the early half; noted outside "
        f"1/{THRESHOLDS.skew_noted:g} to {THRESHOLDS.skew_noted:g}, warning outside 1/{THRESHOLDS.skew_warning:g} to "
        f"{THRESHOLDS.skew_warning:g}, critical outside 1/{THRESHOLDS.skew_critical:g} to {THRESHOLDS.skew_critical:g}",
        source=f"Mix-LN, arXiv 2412.13795; Xiong et al., arXiv 2002.04745; thresholds: {OWN}",
        confidence=agreement([severity(one) for _, one in seen]),
        advice=advice(newest),
    )


def severity(found: Skew) -> Severity:
    if found.fold > THRESHOLDS.skew_critical:
        return "critical"
    if found.fold > THRESHOLDS.skew_warning:
        return "warning"
    return "info" if found.fold > THRESHOLDS.skew_noted else "ok"


def sentence(step: int, found: Skew) -> str:
    return (
        f"Blocks {found.deep[0]}–{found.deep[-1]} get {found.ratio:.3g}× the gradient norm of blocks {found.early[0]}–"
        f"{found.early[-1]} at step {step:,}; largest over smallest block: {found.spread:.3g}."
    )


def advice(found: Skew) -> str:
    if severity(found) == "ok":
        return "Nothing to do."
    if found.ratio < 1:
        return "Deep blocks get little gradient, as in Pre-LN. Look at update_ratio, and compare with Mix-LN (mix)."
    return "Early blocks get little gradient, as in Post-LN. Warm up for longer, or compare with Pre-LN (pre)."


CHECK = Check(NAME, TITLE, check)
