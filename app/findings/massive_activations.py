"""Are there massive activations: a few values a thousand times larger than the rest?

The rule is that of Massive Activations (arXiv 2402.17762): |x| > 100 and |x| >= 1000 median|x| over its sequence. It
depends on the model's scale and never fires on a post-norm stream, so the scale-free ratio is always given too.
"""

import pandas as pd

from .agreement import agreement
from .finding import NOTHING, Check, Evidence, Severity, Verdict
from .frames import RunFrames, layer_range
from .thresholds import Thresholds

__all__ = ["CHECK"]


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """What the largest activations of the newest sampled step are; None when they were not measured."""
    # NaN and Inf are the business of `nonfinite`; "largest" has no meaning among them.
    rows = frames.massive.assign(size=frames.massive["value"].abs())
    rows = rows[rows["size"] < float("inf")]
    rows = rows.assign(massive=by_rule(rows, limits))
    if rows.empty:
        return None
    steps = sorted({int(step) for step in rows["step"]})
    judged = [severity(rows[rows["step"] == step]) for step in steps]
    newest = rows[rows["step"] == steps[-1]]
    evidence = Evidence(
        run=frames.run,
        metric="massive",
        site="resid_post",
        phase=frames.phase,
        stack=frames.stack,
        layers=concerned(newest),
        steps=(steps[0], steps[-1]),
    )
    said = sentence(steps[-1], newest)
    return Verdict(judged[-1], said, evidence, agreement(judged), ADVICE if judged[-1] == "info" else NOTHING)


def by_rule(rows: pd.DataFrame, limits: Thresholds) -> pd.Series:
    return (rows["size"] > limits.massive_abs) & (rows["size"] >= limits.massive_ratio * rows["median_abs"])


def severity(rows: pd.DataFrame) -> Severity:
    return "info" if rows["massive"].any() or rows["count"].max() > 0 else "ok"


def concerned(rows: pd.DataFrame) -> tuple[int, ...]:
    """Layers with massive activations, or the layer of the largest activation when there are none."""
    massive = rows.loc[rows["massive"] | (rows["count"] > 0), "layer"]
    layers = massive if len(massive) else rows.nlargest(1, "size")["layer"]
    return tuple(sorted({int(layer) for layer in layers}))


def sentence(step: int, rows: pd.DataFrame) -> str:
    top = rows.nlargest(1, "size").iloc[0]
    ratio = f"{top['size'] / top['median_abs']:,.0f}× the median" if top["median_abs"] else "where the median is 0"
    largest = (
        f"the largest is {top['value']:,.4g} in layer {int(top['layer'])} (token {int(top['token'])}, channel "
        f"{int(top['channel'])}), {ratio}, at step {step:,}"
    )
    if severity(rows) == "ok":
        return f"No activation is massive by the rule; {largest}."
    return f"{appearance(rows)}; {largest}."


def appearance(rows: pd.DataFrame) -> str:
    """From which layer on, in which channels, at which tokens, and how steadily."""
    massive = rows[rows["massive"]] if rows["massive"].any() else rows[rows["count"] > 0]
    layers = concerned(rows)
    count = max(int(rows.groupby("layer")["count"].max().sum()), len(massive))
    channels = massive["channel"].astype(int).value_counts()
    tokens = sorted({int(token) for token in massive["token"]})
    top = int(channels.index[0])
    said = (
        f"{count:,} massive activation{'s' * (count != 1)} in {layer_range(layers)}, in channel"
        f"{'s' * (len(channels) != 1)} {listed(sorted(channels.index))}, at token{'s' * (len(tokens) != 1)} "
        f"{listed(tokens)}"
    )
    if len(layers) == 1:
        return said
    steady = int(massive.loc[massive["channel"] == top, "layer"].nunique())
    return (
        f"{said}; they appear in layer {layers[0]}, and channel {top} has one in {steady} of these {len(layers)} layers"
    )


def listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:4])) + ("…" if len(numbers) > 4 else "")


def rule(limits: Thresholds) -> str:
    return (
        f"massive: |x| > {limits.massive_abs:g} and |x| >= {limits.massive_ratio:g} median|x| of its sequence; "
        "the ratio "
        "to the median is given always, because the rule depends on the model's scale"
    )


ADVICE = (
    "Usual in large models and mostly harmless in training; they make low-precision activations hard. Explicit key and "
    "value biases in attention remove them (arXiv 2402.17762)."
)

CHECK = Check(
    "massive_activations",
    "Massive activations",
    "Are there a few activations a thousand times larger than the rest, since which layer, in which channel and token?",
    check,
    rule,
    "Massive Activations, arXiv 2402.17762",
)
