"""Does a post-norm model train without warm-up of the learning rate?"""

from .finding import Check, Evidence, Verdict
from .frames import RunFrames
from .strategy_mismatch import known_placement, placement_of
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """A warning without warm-up, 'ok' with it; None for other norms, or when neither curve nor configuration says."""
    blocks = [str(name) for name in frames.layers.sort_values("layer").query("layer >= 1")["norm_placement"].dropna()]
    found = placement_of(blocks) if blocks else "unknown"
    if (found if found != "unknown" else known_placement(frames.strategy or "")) != "post":
        return None
    return from_curve(frames, limits) or from_config(frames)


def from_curve(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """By the learning rates that were logged; None when the start of the run is not among them."""
    rates = frames.rates
    if rates.count < 2 or rates.first_step > 0 or not rates.peak > 0:
        return None
    evidence = Evidence(frames.run, "lr", "", "train", frames.stack, (), (0, rates.peak_step))
    if rates.first > limits.warmup_start * rates.peak:
        sentence = (
            f"A post-norm model starts at {rates.first / rates.peak:.0%} of its peak learning rate "
            f"({rates.peak:.3g}): it "
            "has no warm-up."
        )
        return Verdict("warning", sentence, evidence, "high", ADVICE)
    sentence = f"The learning rate warms up over {rates.peak_step:,} steps, from {rates.first:.3g} to {rates.peak:.3g}."
    return Verdict("ok", sentence, evidence, "high")


def from_config(frames: RunFrames) -> Verdict | None:
    """By an entry of the configuration whose name says warm-up."""
    entries = [
        (key, value)
        for key, value in sorted(frames.config.items())
        if "warmup" in key.lower().replace("_", "").replace("-", "")
    ]
    numbers = [(key, amount) for key, value in entries if (amount := number(value)) is not None]
    if not numbers:
        return None
    evidence = Evidence(frames.run, "config", "", "train", frames.stack)
    key, amount = max(numbers, key=lambda entry: entry[1])
    if amount > 0:
        return Verdict(
            "ok", f"The learning rate warms up, as the configuration says ({key} = {amount:g}).", evidence, "medium"
        )
    sentence = f"A post-norm model trains without warm-up, as the configuration says ({key} = 0)."
    return Verdict("warning", sentence, evidence, "medium", ADVICE)


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def rule(limits: Thresholds) -> str:
    return (
        "norms placed as in post, and the learning rate logged at step 0 is more than "
        f"{limits.warmup_start:.0%} of its "
        "peak; where no rate was logged, an entry 'warmup' of the configuration that is 0"
    )


ADVICE = (
    "Warm up over 1 % to 10 % of the steps: without it the large gradients of the last blocks at initialization make "
    "Post-LN diverge (Xiong et al., arXiv 2002.04745). Pre-LN (pre) does without."
)

CHECK = Check(
    "warmup",
    "Post-norm without warm-up",
    "Does a post-norm model train without warm-up of the learning rate?",
    check,
    rule,
    f"Xiong et al., arXiv 2002.04745; threshold: {OWN}",
    silent=True,
)
