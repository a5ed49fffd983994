"""Do gradients vanish or explode along depth, and in which block does it start? Do they explode over time?"""

import pandas as pd

from .agreement import agreement
from .finding import Check, Evidence, Severity, Verdict
from .frames import RunFrames, by_step, highest, layer_range, lowest
from .surge import Start, Surge, gradient_surge, start
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """Along depth first, then over time; None when no gradient was measured. Blocks without any are left to
    dead_layers."""
    seen = [(step, norms[norms > 0]) for step, norms in by_step(frames.gradients, "param_grad_norm")]
    seen = [(step, norms) for step, norms in seen if len(norms) >= 2]
    if not seen:
        return None
    along = [severity(norms, limits) for _, norms in seen]
    if along[-1] != "ok":
        return over_depth(frames, seen, along, limits)
    return over_time(frames, limits) or fine(frames, *seen[-1])


def severity(norms: pd.Series, limits: Thresholds) -> Severity:
    fold = float(norms.max() / norms.min())
    return "critical" if fold > limits.flow_critical else "warning" if fold > limits.flow_warning else "ok"


def over_depth(
    frames: RunFrames, seen: list[tuple[int, pd.Series]], along: list[Severity], limits: Thresholds
) -> Verdict:
    step, norms = seen[-1]
    strong, weak = highest(norms), lowest(norms)
    # Gradients travel from the last block to the first: on the way they fade, or they grow.
    fades = weak < strong
    far = norms < norms.max() / limits.flow_warning if fades else norms > norms.min() * limits.flow_warning
    layers = tuple(int(layer) for layer in norms.index[far])
    start = max(layer for layer in layers if layer < (strong if fades else weak))
    what, than = ("vanish", "below the largest") if fades else ("explode", "above the smallest")
    sentence = (
        f"On their way from the last block to the first, gradients {what} at step {step:,}: block {strong} gets "
        f"{norms.max():.3g}, block {weak} {norms.min():.3g} ({norms.max() / norms.min():,.3g}× less). It starts at "
        f"block {start}, the first that is more than {limits.flow_warning:,.0f}× {than} ({layer_range(layers)})."
    )
    evidence = Evidence(frames.run, "param_grad_norm", "block", "train", frames.stack, layers, (seen[0][0], step))
    return Verdict(along[-1], sentence, evidence, agreement(along), VANISH if fades else EXPLODE)


def over_time(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """A newest largest gradient far above the run's median; None when there is none such."""
    found = gradient_surge(frames.peaks, limits)
    if found is None:
        return None
    first = start(frames.histories, "param_grad_norm", found.since, backward=True)
    sentence = (
        f"Gradients explode at step {found.step:,}: block {found.layer} gets {found.value:.3g}, {found.fold:,.3g}× "
        f"what the largest block usually gets in this run. {begins(first, found)}"
    )
    layers = (first.layer if first and not first.all_layers else found.layer,)
    evidence = Evidence(
        frames.run, "param_grad_norm", "block", "train", frames.stack, layers, (found.since, found.step)
    )
    return Verdict("critical", sentence, evidence, "high" if found.samples >= 3 else "medium", EXPLODE)


def begins(first: Start | None, found: Surge) -> str:
    """In which block, as sampled: gradients travel from the last one to the first."""
    if first is None:
        return "In which block it starts was not sampled."
    if first.all_layers:
        return f"At sampled step {found.since:,} all blocks have grown alike: it comes from above them (loss or head)."
    return (
        f"As sampled it starts at block {first.layer}, at step {found.since:,} ({first.fold:,.3g}× its own earlier "
        "gradients), and goes down from there."
    )


def fine(frames: RunFrames, step: int, norms: pd.Series) -> Verdict:
    strong, weak = highest(norms), lowest(norms)
    sentence = (
        f"Gradients reach every block at step {step:,}: the largest (block {strong}) is "
        f"{norms.max() / norms.min():,.3g}× the smallest (block {weak})."
    )
    evidence = Evidence(frames.run, "param_grad_norm", "block", "train", frames.stack, (), (step, step))
    return Verdict("ok", sentence, evidence, "high")


def rule(limits: Thresholds) -> str:
    return (
        f"a warning when the largest block gradient norm is more than {limits.flow_warning:,.0f} times the smallest, "
        f"critical past {limits.flow_critical:,.0f} times; critical too when the largest is more than "
        f"{limits.gradient_surge:g} times its median over the run, which starts at the last block that has grown by "
        "the square root of the largest growth or more; blocks without gradient are left to dead_layers"
    )


VANISH = (
    "The blocks near the input hardly learn, as in a deep Post-LN. Warm up for longer, or compare with Pre-LN (pre, "
    "arXiv 2002.04745) or Mix-LN (mix, arXiv 2412.13795)."
)
EXPLODE = (
    "Clip gradients, lower the learning rate or warm up for longer; Peri-LN (peri, arXiv 2502.02732) bounds gradients."
)

CHECK = Check(
    "gradient_flow",
    "Vanishing and exploding gradients",
    "Do gradients vanish or explode along depth, where does it start, and do they explode over time?",
    check,
    rule,
    f"Xiong et al., arXiv 2002.04745; Peri-LN, arXiv 2502.02732; thresholds: {OWN}",
)
