"""How many blocks can go together? From the joint removal curves, measured on held-out data."""

import numpy as np

from ..text import plain
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds
from .undertrained import too_early

__all__ = ["CHECK"]

CONTROLS = ("random",)
"""Rankings that are there to be beaten."""
WORDS = {
    "block_influence": "those of the least block influence",
    "angular_distance": "the run of neighbours that turns the stream least",
    "skip_loss": "those cheapest to skip alone",
    "greedy": "chosen one after the other, the cheapest each time",
    "last_k": "the last ones",
}
"""How the blocks were chosen, by the names in the store."""


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The largest number of blocks whose joint removal was measured to be cheap; None without such a measurement."""
    rows = frames.removals
    rows = rows[~rows["ranking"].isin(CONTROLS) & np.isfinite(rows["delta"]) & (rows["span"] > 0)]
    if rows.empty:
        return None
    step = int(rows["step"].max())
    bearable = limits.cheap_loss * (rows["loss"] - rows["delta"]).abs()
    cheap = rows[rows["delta"] + 2 * rows["delta_se"] <= bearable].sort_values(["span", "delta"])
    evidence = Evidence(frames.run, "prune_set", "block", "probe", frames.stack, (), (step, step))
    if cheap.empty:
        least = rows.loc[rows["span"] == rows["span"].min()].sort_values("delta").iloc[0]
        said = f"No block can be removed for less than {limits.cheap_loss:.0%} of the held-out loss at step {step:,}"
        return Verdict("ok", f"{said}: the cheapest costs {least['delta']:+.4f} nats a token.", evidence, "medium")
    most = int(cheap["span"].max())
    best = cheap[cheap["span"] == most].iloc[0]
    enough = most >= limits.removable_share * frames.n_layers
    severity: Severity = "info" if enough else "ok"
    return Verdict(
        severity,
        f"{most} of {frames.n_layers} blocks ({WORDS.get(str(best['ranking']), plain(best['ranking']))}) can be "
        f"removed together for {best['delta']:+.4f} ± {best['delta_se']:.4f} nats a token at step {step:,}, less than "
        f"{limits.cheap_loss:.0%} of the held-out loss.",
        evidence,
        "low" if too_early(frames, limits) else "medium",
        ADVICE if enough else NOTHING,
    )


def rule(limits: Thresholds) -> str:
    return (
        f"the largest number of blocks whose joint removal raises the held-out loss by less than "
        f"{limits.cheap_loss:.0%}, two standard errors added; noted from {limits.removable_share:.0%} of the blocks on"
    )


ADVICE = (
    "Remove them and fine-tune shortly, then measure the task that matters: the held-out loss hides what a task loses "
    "(arXiv 2403.17887)."
)

CHECK = Check(
    "removable_blocks",
    "Blocks that can go",
    "How many blocks can be removed together for next to nothing?",
    check,
    rule,
    f"arXiv 2403.17887; ShortGPT, arXiv 2403.03853; threshold: {OWN}",
)
