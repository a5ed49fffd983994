"""Do early and deep blocks learn alike? The ratio of their mean parameter gradient norms.

Pre-LN gives deep blocks less gradient, Post-LN early ones (Mix-LN, arXiv 2412.13795; Xiong et al., arXiv 2002.04745).
Adam divides gradient scale out, so a skew of the gradients says little unless the update ratio shows it too.
"""

from dataclasses import dataclass

import pandas as pd

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, by_step
from .thresholds import OWN, Thresholds

__all__ = ["CHECK", "Skew", "skew"]


@dataclass(frozen=True)
class Skew:
    """The deep half over the early half at one step."""

    ratio: float
    """mean over l > L/2 divided by mean over 1 <= l <= L/2; 0 and inf when one half has nothing at all"""
    early: tuple[int, ...]
    deep: tuple[int, ...]

    @property
    def fold(self) -> float:
        """The ratio or its inverse, whichever is at least 1."""
        return max(self.ratio, 1 / self.ratio) if self.ratio else float("inf")

    def agrees(self, other: "Skew | None", limits: Thresholds) -> bool:
        """Whether the other skew points the same way and is large."""
        return other is not None and (other.ratio > 1) == (self.ratio > 1) and other.fold > limits.skew_update


def skew(norms: pd.Series, n_layers: int, limits: Thresholds) -> Skew | None:
    """Skew of `norms` (indexed by layer); None with too few blocks or nothing but zeros."""
    early, deep = norms[norms.index <= n_layers / 2], norms[norms.index > n_layers / 2]
    if n_layers < limits.min_blocks or early.empty or deep.empty or not norms.any():
        return None
    ratio = float(deep.mean() / early.mean()) if early.any() else float("inf")
    return Skew(ratio, tuple(early.index), tuple(deep.index))


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The skew at the newest sampled step with gradients; None when there is none or the model is too shallow."""

    def skews(column: str) -> dict[int, Skew]:
        found = [(step, skew(norms, frames.n_layers, limits)) for step, norms in by_step(frames.gradients, column)]
        return {step: one for step, one in found if one}

    seen, updates = skews("param_grad_norm"), skews("update_ratio")
    if not seen:
        return None
    step = max(seen)
    newest, update = seen[step], updates.get(step)
    judged: Severity = severity(newest, update, limits)
    return Verdict(
        judged,
        sentence(step, newest, update, limits),
        Evidence(
            run=frames.run,
            metric="param_grad_norm",
            site="block",
            phase="train",
            stack=frames.stack,
            layers=newest.early + newest.deep,
            steps=(min(seen), step),
        ),
        agreement([severity(one, updates.get(at), limits) for at, one in seen.items()]),
        advice(newest, judged),
    )


def severity(found: Skew, update: Skew | None, limits: Thresholds) -> Severity:
    if found.fold <= limits.skew_noted:
        return "ok"
    return "warning" if found.agrees(update, limits) else "info"


def sentence(step: int, found: Skew, update: Skew | None, limits: Thresholds) -> str:
    said = (
        f"Blocks {found.deep[0]}–{found.deep[-1]} get {found.ratio:.3g}× the gradient norm of blocks {found.early[0]}–"
        f"{found.early[-1]} at step {step:,}"
    )
    if update is None:
        return f"{said}; how much they move (update_ratio) was not measured."
    moves = f"{update.ratio:.3g}× as far"
    if found.fold > limits.skew_noted and not found.agrees(update, limits):
        return f"{said}, but their weights move {moves}: the optimizer mostly evens it out."
    return f"{said}, and their weights move {moves}."


def advice(found: Skew, judged: Severity) -> str:
    if judged == "ok":
        return NOTHING
    if judged == "info":
        return "Under Adam this alone is no fault. Look at update_ratio before you change anything."
    if found.ratio < 1:
        return "Deep blocks learn slowly, as in Pre-LN. Compare with Mix-LN (mix, arXiv 2412.13795)."
    return (
        "Early blocks learn slowly, as in Post-LN. Warm up for longer, or compare with Pre-LN (pre, arXiv 2002.04745)."
    )


def rule(limits: Thresholds) -> str:
    return (
        f"mean gradient norm of the deep half over that of the early half: noted outside 1/{limits.skew_noted:g} to "
        f"{limits.skew_noted:g}; a warning only when the update ratio of the halves points the same way by more than "
        f"{limits.skew_update:g} times"
    )


CHECK = Check(
    "gradient_skew",
    "Gradients of the halves",
    "Do early and deep blocks learn alike?",
    check,
    rule,
    f"Mix-LN, arXiv 2412.13795; Xiong et al., arXiv 2002.04745; thresholds: {OWN}",
)
