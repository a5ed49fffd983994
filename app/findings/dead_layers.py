"""Are there blocks that do not learn while their peers do: without gradient, or frozen on purpose?"""

import pandas as pd

from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, layer_range
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """Blocks whose gradient is nothing against their peers', at every recent step; None when none was measured."""
    rows = frames.gradients
    if rows["param_grad_norm"].dropna().empty:
        return None
    # Over the recent steps a block is as alive as its best one.
    best = rows.groupby("layer")[["param_grad_norm", "param_norm", "update_ratio"]].max()
    best.index = best.index.astype(int)
    gradients = best["param_grad_norm"]
    broken = set(frames.nonfinite.loc[frames.nonfinite["what"] == "gradient", "layer"].dropna().astype(int))
    frozen = chosen(gradients.isna() & (best["param_norm"] > 0) & ~best.index.isin(broken))
    faint = gradients <= limits.dead_share * neighbours(gradients)
    dead = chosen(faint) if (gradients > 0).any() else ()
    idle = chosen((gradients > 0) & ~faint & (best["update_ratio"] == 0))
    said = told(dead, frozen, idle)
    steps = (int(rows["step"].min()), int(rows["step"].max()))
    evidence = Evidence(
        frames.run, "param_grad_norm", "block", "train", frames.stack, tuple(sorted({*dead, *frozen, *idle})), steps
    )
    if not said:
        said = f"Every block has a gradient at step {steps[1]:,}."
    severity: Severity = "warning" if dead else "info" if frozen or idle else "ok"
    return Verdict(severity, said, evidence, "high", DEAD if dead else FROZEN if frozen or idle else NOTHING)


def chosen(which: pd.Series) -> tuple[int, ...]:
    return tuple(int(layer) for layer in which.index[which])


def neighbours(gradients: pd.Series) -> pd.Series:
    """The smaller gradient of the two neighbours that have one: a gradient that fades along depth is no dead block."""
    some = gradients.dropna()
    below, above = some.shift(1), some.shift(-1)
    return pd.concat([below, above], axis=1).min(axis=1).reindex(gradients.index)


def told(dead: tuple[int, ...], frozen: tuple[int, ...], idle: tuple[int, ...]) -> str:
    """What each kind of block does; '' when all learn."""
    parts = []
    if dead:
        parts.append(f"{layer_range(dead).capitalize()} get{'s' * (len(dead) == 1)} no gradient while others do.")
    if frozen:
        parts.append(
            f"{layer_range(frozen).capitalize()} {'has' if len(frozen) == 1 else 'have'} parameters but no "
            "gradient: frozen, it seems on purpose."
        )
    if idle:
        parts.append(
            f"{layer_range(idle).capitalize()} {'has' if len(idle) == 1 else 'have'} gradients but "
            f"{'does' if len(idle) == 1 else 'do'} not move: no optimizer has their parameters, or their learning "
            "rate is 0."
        )
    return " ".join(parts)


def rule(limits: Thresholds) -> str:
    return (
        f"dead (a warning): a gradient norm of 0 or below {limits.dead_share:g} of both neighbours', at every recent "
        "sampled step, while others have one; frozen (noted): parameters that ask for no gradient or that no optimizer "
        "has, or with a gradient and without an update"
    )


DEAD = (
    "See whether the block is still connected: a detached input, an output that nothing reads, a norm weight or gate "
    "at 0 (ReZero starts with one on purpose, and its branches have no gradient until it opens: arXiv 2003.04887), or "
    "units that give 0 for every input (Dying ReLU, arXiv 1903.06733)."
)
FROZEN = "Nothing to do if you froze them; comparisons across depth leave them out of account."

CHECK = Check(
    "dead_layers",
    "Dead and frozen layers",
    "Are there blocks that do not learn while their peers do?",
    check,
    rule,
    OWN,
)
