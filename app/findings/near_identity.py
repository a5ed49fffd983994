"""Do deep blocks still turn the stream, or do they nearly pass it on?

Block influence 1 - cos(input, output) (ShortGPT, arXiv 2403.03853) and angular distance (arXiv 2403.17887) are cheap
but poor stand-ins for the loss caused by removing a block (arXiv 2605.14075), so the confidence is never 'high'.
"""

from dataclasses import dataclass

import pandas as pd

from .agreement import agreement
from .finding import Check, Evidence, Finding, Severity
from .frames import RunFrames, by_step, layer_range
from .thresholds import OWN, THRESHOLDS

__all__ = ["CHECK", "Idleness", "idleness"]

NAME, TITLE = "near_identity", "Near-identity deep blocks"


@dataclass(frozen=True)
class Idleness:
    """Block influence of the two halves at one step, block 1 left out."""

    deep: float
    early: float
    idle: tuple[int, ...]
    """Deep blocks below the threshold."""
    n_deep: int

    @property
    def near_identity(self) -> bool:
        mostly = len(self.idle) >= THRESHOLDS.identity_share * self.n_deep
        return mostly and self.deep < THRESHOLDS.identity_contrast * self.early


def idleness(influence: pd.Series, n_layers: int) -> Idleness | None:
    """Of block `influence` (indexed by layer); None with fewer than four blocks or one half unmeasured."""
    influence = influence[influence.index >= 2]
    early, deep = influence[influence.index <= n_layers / 2], influence[influence.index > n_layers / 2]
    if n_layers < THRESHOLDS.min_blocks or early.empty or deep.empty:
        return None
    idle = tuple(int(layer) for layer in deep.index[deep < THRESHOLDS.identity_influence])
    return Idleness(float(deep.mean()), float(early.mean()), idle, len(deep))


def check(frames: RunFrames) -> Finding | None:
    """Whether the deep half is near identity at the newest sampled step; None when it was not measured."""
    found = [(step, idleness(values, frames.n_layers)) for step, values in by_step(frames.blocks, "block_influence")]
    seen = [(step, one) for step, one in found if one]
    if not seen:
        return None
    step, newest = seen[-1]
    sure = agreement([one.near_identity for _, one in seen])
    angle = by_step(frames.blocks, "angular_distance") if "angular_distance" in frames.blocks else []
    return Finding(
        name=NAME,
        title=TITLE,
        severity=severity(step, newest),
        sentence=sentence(step, newest) + angles(angle, frames.n_layers),
        evidence=Evidence(
            run=frames.run,
            metric="block_influence",
            site="block",
            phase=frames.phase,
            stack=frames.stack,
            layers=newest.idle if newest.near_identity else (),
            steps=(seen[0][0], step),
        ),
        rule=f"at least {THRESHOLDS.identity_share:.0%} of the blocks past the middle have a block influence below "
        f"{THRESHOLDS.identity_influence:g}, and their mean is below {THRESHOLDS.identity_contrast:g} times that of "
        f"the early half without block 1; before step {THRESHOLDS.identity_min_step} only noted",
        source=f"ShortGPT, arXiv 2403.03853; arXiv 2403.17887; caveat: arXiv 2605.14075; thresholds: {OWN}",
        confidence="medium" if sure == "high" else sure,
        advice=ADVICE if newest.near_identity else "Nothing to do.",
    )


def severity(step: int, found: Idleness) -> Severity:
    if not found.near_identity:
        return "ok"
    return "warning" if step >= THRESHOLDS.identity_min_step else "info"


def sentence(step: int, found: Idleness) -> str:
    means = f"mean block influence {found.deep:.4f} against {found.early:.4f} in the early half"
    if not found.near_identity:
        return f"The deep half still turns the stream at step {step:,}: {means}."
    idle = f"{len(found.idle)} of {found.n_deep} deep blocks ({layer_range(found.idle)})"
    return f"{idle} nearly pass their input on at step {step:,}: {means}."


def angles(by_steps: list[tuple[int, pd.Series]], n_layers: int) -> str:
    """The same in angular distance, of the newest step; '' when it was not measured."""
    deep = by_steps[-1][1] if by_steps else pd.Series(dtype=float)
    deep = deep[deep.index > n_layers / 2]
    return f" Mean angular distance there: {deep.mean():.3f} (0.5 is orthogonal)." if len(deep) else ""


ADVICE = (
    "Measure what skipping them costs before believing it. If it costs nothing late in training too, they can be "
    "pruned, or put to work by LayerNorm Scaling (lns), Peri-LN (peri) or Mix-LN (mix)."
)

CHECK = Check(NAME, TITLE, check)
