"""What was looked at: said when nothing is wrong, so that silence is not mistaken for a check."""

import math

from .finding import Check, Evidence, Finding
from .frames import RunFrames

__all__ = ["CHECK"]

NAME, TITLE = "healthy", "What was checked"


def check(frames: RunFrames) -> Finding | None:
    """What the other diagnoses had to go on; None when there was nothing at all."""
    seen, missing = coverage(frames)
    if not seen:
        return None
    where = f"{frames.sampled:,} sampled steps of {frames.n_layers} blocks"
    sentence = f"Checked over {where}: {', '.join(seen)}.{falling(frames)}"
    if missing:
        sentence += f" Not measured: {', '.join(missing)}."
    last = frames.last_step
    return Finding(
        name=NAME,
        title=TITLE,
        severity="ok",
        sentence=sentence,
        evidence=Evidence(
            frames.run, "all", "all", frames.phase, frames.stack, (), None if last is None else (0, last)
        ),
        rule="shown when no other diagnosis warns",
        source="the other diagnoses",
        confidence="low" if missing else "high",
        advice="Nothing to do." if not missing else "Sample with metrics='standard' to have the rest checked.",
    )


def coverage(frames: RunFrames) -> tuple[list[str], list[str]]:
    """Names of what was measured and of what was not."""
    measured = {
        "stream variance": not frames.stream.empty,
        "gradient norms": not frames.gradients.empty,
        "largest activations": not frames.massive.empty,
        "block influence": not frames.blocks.empty,
        "loss": frames.losses.count > 0,
    }
    return [name for name, there in measured.items() if there], [name for name, there in measured.items() if not there]


def falling(frames: RunFrames) -> str:
    """How the loss went; '' with fewer than two, or with one that is not finite at either end."""
    first, last = frames.losses.first, frames.losses.last
    if frames.losses.count < 2 or not (math.isfinite(first) and math.isfinite(last)):
        return ""
    return f" Loss {first:.3f} → {last:.3f}."


CHECK = Check(NAME, TITLE, check)
