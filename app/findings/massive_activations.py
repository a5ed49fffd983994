"""Are there massive activations: a few values a thousand times larger than the rest?

The rule is that of Massive Activations (arXiv 2402.17762): |x| > 100 and |x| >= 1000 median|x| over its sequence. It
depends on the model's scale and never fires on a post-norm stream, so the ratio is always given too.
"""

import pandas as pd

from .agreement import agreement
from .finding import Check, Evidence, Finding, Severity
from .frames import RunFrames, layer_range
from .thresholds import THRESHOLDS

__all__ = ["CHECK"]

NAME, TITLE = "massive_activations", "Massive activations"


def check(frames: RunFrames) -> Finding | None:
    """What the largest activations of the newest sampled step are; None when they were not measured."""
    # NaN and Inf are the business of `nonfinite`; "largest" has no meaning among them.
    rows = frames.massive.assign(size=frames.massive["value"].abs())
    rows = rows[rows["size"] < float("inf")]
    if rows.empty:
        return None
    steps = sorted({int(step) for step in rows["step"]})
    judged = [severity(rows[rows["step"] == step]) for step in steps]
    newest = rows[rows["step"] == steps[-1]]
    return Finding(
        name=NAME,
        title=TITLE,
        severity=judged[-1],
        sentence=sentence(steps[-1], newest),
        evidence=Evidence(
            run=frames.run,
            metric="massive",
            site="resid_post",
            phase=frames.phase,
            stack=frames.stack,
            layers=concerned(newest),
            steps=(steps[0], steps[-1]),
        ),
        rule=f"massive: |x| > {THRESHOLDS.massive_abs:g} and |x| >= {THRESHOLDS.massive_ratio:g} median|x| of its "
        f"sequence; a warning past float16's largest number, {THRESHOLDS.float16_max:,.0f}",
        source="Massive Activations, arXiv 2402.17762; float16 range: Peri-LN, arXiv 2502.02732",
        confidence=agreement(judged),
        advice=ADVICE[judged[-1]],
    )


def severity(rows: pd.DataFrame) -> Severity:
    if rows["size"].max() > THRESHOLDS.float16_max:
        return "warning"
    return "info" if rows["count"].max() > 0 else "ok"


def concerned(rows: pd.DataFrame) -> tuple[int, ...]:
    """Layers with massive activations, or the layer of the largest activation when there are none."""
    massive = rows.loc[rows["count"] > 0, "layer"]
    layers = massive if len(massive) else rows.nlargest(1, "size")["layer"]
    return tuple(sorted({int(layer) for layer in layers}))


def sentence(step: int, rows: pd.DataFrame) -> str:
    top = rows.nlargest(1, "size").iloc[0]
    ratio = f"{top['size'] / top['median_abs']:,.0f}× the median" if top["median_abs"] else "where the median is 0"
    largest = (
        f"the largest is {top['value']:,.4g} in layer {int(top['layer'])} (token {int(top['token'])}, channel "
        f"{int(top['channel'])}), {ratio}, at step {step:,}"
    )
    count = int(rows.groupby("layer")["count"].max().sum())
    if not count:
        return f"No activation is massive by the rule; {largest}."
    channels = sorted({int(channel) for channel in rows.loc[rows["count"] > 0, "channel"]})
    shown = ", ".join(map(str, channels[:4])) + ("…" if len(channels) > 4 else "")
    where = f"{layer_range(concerned(rows))} (channel{'s' * (len(channels) != 1)} {shown})"
    return f"{count:,} massive activation{'s' * (count != 1)} in {where}; {largest}."


ADVICE: dict[Severity, str] = {
    "warning": "Such a value is Inf in float16. Train in bfloat16 or bound branches as Peri-LN (peri).",
    "info": "Usual in large models and mostly harmless in training; they make low-precision activations hard. Explicit "
    "key and value biases in attention remove them.",
    "ok": "Nothing to do.",
}

CHECK = Check(NAME, TITLE, check)
