"""Did many weights become near zero within one interval of training?"""

from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The largest rise of near-zero weights between evaluations; None with too few of them to call one unusual."""
    jumps = frames.jumps
    if jumps.empty or int(jumps["evaluations"].max()) < limits.min_evaluations:
        return None
    sudden = jumps[(jumps["increase"] >= limits.jump_share) & (jumps["z"] > limits.jump_z)]
    seen = sudden if len(sudden) else jumps
    if seen["increase"].isna().all():
        evidence = Evidence(frames.run, "near_zero", "block", "probe", frames.stack)
        return Verdict("ok", "The share of weights near zero never rose.", evidence, "medium")
    worst = seen.sort_values("increase").iloc[-1]
    first, last = int(worst["from_step"]), int(worst["step"])
    severity: Severity = "info" if len(sudden) else "ok"
    return Verdict(
        severity,
        f"Weights below {float(worst['threshold']):.2g} rose by {float(worst['increase']):.1%} of all, to "
        f"{float(worst['near_zero']):.1%}, between steps {first:,} and {last:,}"
        + (": more than in any interval before." if len(sudden) else ", the largest rise there was: nothing sudden."),
        Evidence(frames.run, "near_zero", "block", "probe", frames.stack, (), (first, last)),
        "medium",
        ADVICE if len(sudden) else NOTHING,
    )


def rule(limits: Thresholds) -> str:
    return (
        f"noted when the share of weights below one of the thresholds rises by at least {limits.jump_share:.0%} of all "
        f"weights from one evaluation to the next, and by more than {limits.jump_z:g} standard deviations above the "
        f"rises before it; from {limits.min_evaluations:g} evaluations on"
    )


ADVICE = (
    "Look at what happened at these steps (learning rate, weight decay, data); prunability often changes with it "
    "(Essential Sparsity, arXiv 2306.03805)."
)

CHECK = Check(
    "abrupt_sparsification",
    "Abrupt sparsification",
    "Did many weights become near zero within one interval of training?",
    check,
    rule,
    f"Essential Sparsity, arXiv 2306.03805, which gives no threshold for zero; thresholds: {OWN}",
)
