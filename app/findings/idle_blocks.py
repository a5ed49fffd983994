"""Do the deep blocks do any work? The loss without each of them says it, where it was measured on held-out data.

This is the measurement that angles only stand in for (arXiv 2605.14075); its error is paired and known.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, layer_range
from .remedies import remedies
from .thresholds import OWN, Thresholds
from .undertrained import too_early

__all__ = ["CHECK", "Idle", "idle"]


@dataclass(frozen=True)
class Idle:
    """What skipping single blocks cost at one step, block 1 left out of the early half."""

    deep: float
    """Mean change of loss (nats/token) over the deep half."""
    error: float
    """Standard error of `deep`, as if the blocks' errors were wholly correlated: never too small."""
    early: float
    cheap: tuple[int, ...]
    """Deep blocks that surely cost less than the threshold."""
    n_deep: int
    mostly: bool


def idle(rows: pd.DataFrame, n_layers: int, limits: Thresholds) -> Idle | None:
    """Of the skips of one step; None with fewer than four blocks or a half unmeasured."""
    rows = rows[np.isfinite(rows["delta"]) & rows["delta_se"].notna() & (rows["layer"] >= 2)]
    deep, early = rows[rows["layer"] > n_layers / 2], rows[rows["layer"] <= n_layers / 2]
    if n_layers < limits.min_blocks or deep.empty or early.empty:
        return None
    bearable = limits.cheap_loss * (deep["loss"] - deep["delta"]).abs()
    cheap = deep["delta"] + 2 * deep["delta_se"] <= bearable
    layers = tuple(int(layer) for layer in deep.loc[cheap, "layer"])
    means = float(deep["delta"].mean()), float(deep["delta_se"].mean()), float(early["delta"].mean())
    contrast = means[0] < limits.identity_contrast * means[2]
    return Idle(*means, layers, len(deep), bool(len(layers) >= limits.identity_share * len(deep) and contrast))


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """Whether most deep blocks cost next to nothing to skip at the newest evaluation; None without one."""
    steps = [(int(str(step)), rows) for step, rows in frames.skips.groupby("step")]
    seen = [(step, found) for step, rows in steps if (found := idle(rows, frames.n_layers, limits))]
    if not seen:
        return None
    step, newest = seen[-1]
    early_days = too_early(frames, limits)
    sure = agreement([found.mostly for _, found in seen])
    evidence = Evidence(
        run=frames.run,
        metric="skip_loss",
        site="block",
        phase="probe",
        stack=frames.stack,
        layers=newest.cheap if newest.mostly else (),
        steps=(step, step),
    )
    severity: Severity = ("info" if early_days else "warning") if newest.mostly else "ok"
    return Verdict(
        severity,
        sentence(step, newest, limits),
        evidence,
        "low" if newest.mostly and early_days else "medium" if sure == "low" else sure,
        f"{ADVICE}{remedies(frames.strategy)}." if newest.mostly else NOTHING,
    )


def sentence(step: int, found: Idle, limits: Thresholds) -> str:
    means = (
        f"on average {found.deep:+.4f} ± {found.error:.4f} nats a token, against {found.early:+.4f} in the early half"
    )
    if not found.mostly:
        return f"Skipping a deep block costs the held-out loss at step {step:,}: {means}."
    blocks = f"{len(found.cheap)} of {found.n_deep} deep blocks ({layer_range(found.cheap)})"
    return f"{blocks} cost less than {limits.cheap_loss:.0%} of the loss to skip at step {step:,}: {means}."


def rule(limits: Thresholds) -> str:
    return (
        f"at least {limits.identity_share:.0%} of the blocks past the middle raise the held-out loss by less than "
        f"{limits.cheap_loss:.0%} when skipped, two standard errors added, and on average by less than "
        f"{limits.identity_contrast:g} times what blocks of the early half do, block 1 left out; noted instead where "
        "the run is too young for it (undertrained)"
    )


ADVICE = (
    "Look at what removing several of them together costs before pruning: single costs do not add up. Proposed to put "
    "deep blocks to use: "
)

CHECK = Check(
    "idle_blocks",
    "Idle deep blocks",
    "Does the held-out loss need the deep blocks?",
    check,
    rule,
    f"The Curse of Depth, arXiv 2502.05795; ShortGPT, arXiv 2403.03853; thresholds: {OWN}",
)
