"""Do the statistics of single batches leave the running ones, in norms that keep such statistics?"""

from .finding import NOTHING, Check, Evidence, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """A warning while the newest distance is large, or far above what was usual; None without batch norms."""
    rows = frames.fluctuation.dropna(subset=["distance"])
    if rows.empty:
        return None
    step, newest = int(rows["step"].iloc[-1]), float(rows["distance"].iloc[-1])
    before = rows["distance"].iloc[: max(1, len(rows) // 2)]
    usual, peak = float(before.median()), float(rows["distance"].max())
    grown = len(rows) >= 2 * limits.min_blocks and newest > limits.fluctuation_growth * usual > 0
    large = newest > limits.fluctuation_distance
    layer = None if rows["layer"].isna().iloc[-1] else int(rows["layer"].iloc[-1])
    where = f" in layer {layer}" if layer is not None else ""
    said = f"Batch variances lie {newest:.3g} from the running ones{where} at step {step:,}"
    evidence = Evidence(
        frames.run,
        "batch_var_fluctuation",
        str(rows["site"].iloc[-1]),
        "train",
        frames.stack,
        (layer,) if layer is not None and (grown or large) else (),
        (step, step) if grown or large else (int(rows["step"].iloc[0]), step),
    )
    if not grown and not large:
        return Verdict("ok", f"{said}; the largest distance was {peak:.3g}.", evidence, "high", NOTHING)
    against = f", {newest / usual:,.3g}× what was usual in the first half of the run" if grown else ""
    return Verdict("warning", f"{said}{against}.", evidence, "high" if grown and large else "medium", ADVICE)


def rule(limits: Thresholds) -> str:
    return (
        "the Euclidean distance between a batch's variances and the running ones, over the number of channels (the "
        f"PowerNorm paper's), is above {limits.fluctuation_distance:g}, or more than {limits.fluctuation_growth:g} "
        "times its median in the first half of the run; the largest of the layers counts"
    )


ADVICE = (
    "Evaluate with running statistics beside the training loss: the two part here. Larger batches, PowerNorm "
    "(powernorm, arXiv 2003.07845) or a norm without batch statistics bound it."
)

CHECK = Check(
    "batch_fluctuation",
    "Fluctuating batch statistics",
    "Do batches' statistics stay near the running ones?",
    check,
    rule,
    f"PowerNorm, arXiv 2003.07845; thresholds: {OWN}",
)
