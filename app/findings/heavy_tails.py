"""Is the residual stream carried by few channels? Kurtosis E[x^4]/E[x^2]^2 over a token's features: 3 for a Gaussian,
the width for a single spike. It needs no scale, so it sees in small models what the massive-activation rule cannot."""

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Verdict
from .frames import RunFrames, by_step, highest, layer_range
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """'info' when a block output is heavy-tailed; None when kurtosis was not measured."""
    seen = [(step, values[values.index >= 1]) for step, values in by_step(frames.stream, "kurtosis")]
    seen = [(step, values) for step, values in seen if len(values)]
    if not seen:
        return None
    step, newest = seen[-1]
    heavy = tuple(int(layer) for layer in newest.index[newest > limits.heavy_kurtosis])
    top = f"largest {newest.max():,.3g}, in layer {highest(newest)}, at step {step:,} (a Gaussian has 3)"
    sentence = (
        f"Few channels carry the stream in {layer_range(heavy)}: kurtosis {top}."
        if heavy
        else f"The stream has no heavy tails: kurtosis {top}."
    )
    evidence = Evidence(frames.run, "kurtosis", "resid_post", frames.phase, frames.stack, heavy, (seen[0][0], step))
    sure = agreement([bool((values > limits.heavy_kurtosis).any()) for _, values in seen])
    return Verdict("info" if heavy else "ok", sentence, evidence, sure, ADVICE if heavy else NOTHING)


def rule(limits: Thresholds) -> str:
    return f"a block output has a kurtosis above {limits.heavy_kurtosis:g}"


ADVICE = (
    "Outlier channels make 8-bit and 4-bit activations hard. See which channels in massive activations; norms without "
    "weights and a smaller learning rate lessen them (Outlier Features, arXiv 2405.19279)."
)

CHECK = Check(
    "heavy_tails",
    "Heavy-tailed stream",
    "Do few channels carry the residual stream?",
    check,
    rule,
    f"Outlier Features, arXiv 2405.19279; thresholds: {OWN}",
)
