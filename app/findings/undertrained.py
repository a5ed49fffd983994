"""Has the run seen enough to answer questions about depth? Too early, every deep block looks idle and every weight
prunable; in small runs that fades as training goes on. The findings on depth ask `too_early` before they warn."""

from .finding import Check, Evidence, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds

__all__ = ["CHECK", "too_early"]


def too_early(frames: RunFrames, limits: Thresholds) -> str:
    """Why the run is too young for a verdict on depth; '' when it is not, or when its age is not known."""
    step = frames.last_step
    if step is not None and step < limits.trained_steps:
        return f"only {step:,} steps so far ({limits.trained_steps:,} are asked for)"
    if frames.tokens and frames.n_params and frames.tokens < limits.trained_tokens * frames.n_params:
        seen = frames.tokens / frames.n_params
        return f"only {seen:.2g} training tokens per parameter so far ({limits.trained_tokens:g} are asked for)"
    return ""


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """'info' for a run that is too young; silent otherwise."""
    reason = too_early(frames, limits)
    if not reason or frames.last_step is None:
        return None
    sentence = (
        f"{reason[0].upper()}{reason[1:]}: what is said here about idle deep blocks or prunable weights may change "
        "with more training, so it is noted and not warned of."
    )
    evidence = Evidence(frames.run, "tokens", "", "train", frames.stack, (), (0, frames.last_step))
    return Verdict("info", sentence, evidence, "high", ADVICE)


def rule(limits: Thresholds) -> str:
    return (
        f"fewer than {limits.trained_steps:,} steps, or fewer than {limits.trained_tokens:g} training tokens "
        "per parameter"
    )


ADVICE = (
    "Train for longer before you draw conclusions about depth or sparsity: about 20 tokens a parameter are "
    "compute-optimal (Chinchilla, arXiv 2203.15556), and how many weights can go changes during pre-training "
    "(Essential Sparsity, arXiv 2306.03805)."
)

CHECK = Check(
    "undertrained",
    "Too early to tell",
    "Has the run seen enough to answer questions about depth?",
    check,
    rule,
    f"compute-optimal is about 20 tokens per parameter: Chinchilla, arXiv 2203.15556; thresholds: {OWN}",
    silent=True,
)
