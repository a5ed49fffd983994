"""What was looked at: said when nothing is wrong, so that silence is not mistaken for a check."""

import math

import pandas as pd

from .finding import NOTHING, Check, Evidence, Verdict
from .frames import RunFrames
from .thresholds import Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """What the other diagnoses had to go on; None when there was nothing at all."""
    seen, missing = coverage(frames)
    if not seen:
        return None
    where = f"{frames.sampled:,} sampled steps of {frames.n_layers} blocks"
    sentence = f"Checked over {where}: {', '.join(seen)}.{falling(frames)}"
    if missing:
        sentence += f" Not measured: {', '.join(missing)}."
    last = frames.last_step
    evidence = Evidence(frames.run, "all", "all", frames.phase, frames.stack, (), None if last is None else (0, last))
    return Verdict("ok", sentence, evidence, "low" if missing else "high", NOTHING if not missing else MORE)


def coverage(frames: RunFrames) -> tuple[list[str], list[str]]:
    """Names of what was measured and of what was not."""
    measured = {
        "stream variance": has(frames.stream, "variance"),
        "gradient norms": has(frames.gradients, "param_grad_norm"),
        "weight updates": has(frames.gradients, "update_ratio"),
        "largest activations": has(frames.massive, "value"),
        "angles of blocks": has(frames.blocks, "angular_distance"),
        "size of branches": has(frames.branches, "branch_ratio"),
        "loss": frames.losses.count > 0,
    }
    return [name for name, there in measured.items() if there], [name for name, there in measured.items() if not there]


def has(frame: pd.DataFrame, column: str) -> bool:
    """Whether a frame has a value there: a row of a site says only that something was measured at it."""
    return column in frame and bool(frame[column].notna().any())


def falling(frames: RunFrames) -> str:
    """How the loss went; '' with fewer than two, or with one that is not finite at either end."""
    first, last = frames.losses.first, frames.losses.last
    if frames.losses.count < 2 or not (math.isfinite(first) and math.isfinite(last)):
        return ""
    return f" Loss {first:.3f} → {last:.3f}."


def rule(limits: Thresholds) -> str:
    return "shown when no other diagnosis warns"


MORE = (
    "Log the loss with probe.log(loss=loss); what else is missing was not chosen (metrics= of watch), or the probe "
    "could not find it in this model (see its events)."
)

CHECK = Check(
    "healthy",
    "What was checked",
    "What did the other diagnoses have to go on?",
    check,
    rule,
    "the other diagnoses",
)
