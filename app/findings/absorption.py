"""Do branches survive being added to the stream in bfloat16?

It keeps 8 significant bits, so of x + d little is left of d when |d| is under 1/256 of |x|.
"""

import pandas as pd

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, layer_range
from .thresholds import Thresholds

__all__ = ["CHECK"]

WORDS = {"attn_out": "attention", "mlp_out": "MLP"}


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The branches too small for bfloat16 at the newest sampled step; None when branch_ratio was not measured."""
    rows = frames.branches[frames.branches["branch_ratio"] < float("inf")].astype({"step": int, "layer": int})
    if rows.empty:
        return None
    small = rows["branch_ratio"] < limits.absorbed_ratio
    step = int(rows["step"].max())
    newest = rows["step"] == step
    lost = rows[newest & small]
    evidence = Evidence(
        frames.run,
        "branch_ratio",
        str(rows[newest].nsmallest(1, "branch_ratio")["site"].iloc[0]),
        frames.phase,
        frames.stack,
        tuple(sorted(set(lost["layer"]))),
        (int(rows["step"].min()), step),
    )
    judged = severity(not lost.empty, frames.dtype)
    sure = agreement(small.groupby(rows["step"]).any().tolist())
    return Verdict(judged, sentence(step, rows[newest], lost), evidence, sure, NOTHING if lost.empty else ADVICE)


def severity(lost: bool, dtype: str) -> Severity:
    """A fault only where the stream is known to be kept in bfloat16."""
    return "ok" if not lost else "warning" if dtype == "bfloat16" else "info"


def sentence(step: int, rows: pd.DataFrame, lost: pd.DataFrame) -> str:
    least = rows.nsmallest(1, "branch_ratio").iloc[0]
    smallest = (
        f"the smallest branch is {float(least['branch_ratio']):.2g} of the stream ({WORDS[str(least['site'])]} of "
        f"layer {int(least['layer'])}) at step {step:,}"
    )
    if lost.empty:
        return f"Every branch is large enough to be added in bfloat16: {smallest}."
    groups = [(WORDS[str(site)], tuple(sorted(set(group["layer"])))) for site, group in lost.groupby("site")]
    which = " and ".join(f"{word} of {layer_range(layers)}" for word, layers in groups)
    return f"A stream kept in bfloat16 would mostly round away {which}: {smallest}."


def rule(limits: Thresholds) -> str:
    return (
        f"a branch's norm is below {limits.absorbed_ratio:.4g} of the stream's (bfloat16 keeps 8 significant bits); a "
        "warning in a bfloat16 model, else noted"
    )


ADVICE = (
    "Keep the residual stream in float32 and only the matrix products in bfloat16. Where it has to be bfloat16, add "
    "with stochastic rounding or Kahan summation: Revisiting BFloat16 Training (arXiv 2010.06192) does for weights, "
    "whose small updates are rounded away likewise."
)

CHECK = Check(
    "absorption",
    "Branches lost in bfloat16",
    "Do branches survive being added to the stream in bfloat16?",
    check,
    rule,
    "arithmetic of bfloat16",
)
