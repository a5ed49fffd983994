"""Where and when did the first NaN or Inf appear: activations, gradients, loss."""

import math

import pandas as pd

from .finding import Check, Evidence, Finding
from .frames import RunFrames, layer_range
from .thresholds import OWN

__all__ = ["CHECK"]

NAME, TITLE = "nonfinite", "Non-finite values"

# The order values are computed in within a block, to name the first that broke.
FORWARD_ORDER = ("attn_raw", "attn_out", "resid_mid", "mlp_raw", "mlp_out", "resid_sum", "resid_post")

RULE = (
    "any NaN or Inf in a hooked activation, a block's gradient norm or the loss; critical while it is still there at "
    "the newest sampled step, a warning when it has gone"
)
ADVICE = (
    "Look at the heatmap of abs_max just before the first step: a layer growing towards the largest number of its "
    "format overflows there. Clip gradients, lower the learning rate, warm up for longer, or keep branches in float32."
)


def check(frames: RunFrames) -> Finding | None:
    """The first non-finite value of the run; 'ok' when there is none; None when nothing was measured."""
    if not frames.nonfinite.empty:
        return broken(frames)
    if frames.losses.first_bad is not None:
        return broken_loss(frames, frames.losses.first_bad)
    return all_finite(frames) if frames.sampled or frames.losses.count else None


def broken(frames: RunFrames) -> Finding:
    rows = frames.nonfinite
    first, last = int(rows["first_step"].min()), int(rows["last_step"].max())
    origin = first_row(rows)
    layers = tuple(sorted({int(layer) for layer in rows["layer"].dropna()}))
    lasting = frames.last_step is None or last >= frames.last_step or loss_still_bad(frames)
    where = f"{origin['what']} of {place(origin)}"
    until = "and are still there" if lasting else f"and are gone after step {last:,}"
    sentence = f"Non-finite values start in the {where} at step {first:,} {until} ({extent(rows, layers)})."
    if frames.losses.first_bad is not None:
        sentence += f" The loss is not finite from step {frames.losses.first_bad:,}."
    metric = "nonfinite" if origin["what"] == "activation" else "param_grad_norm"
    evidence = Evidence(
        frames.run, metric, str(origin["site"]), str(origin["phase"]), frames.stack, layers, (first, last)
    )
    return finding(lasting, sentence, evidence)


def broken_loss(frames: RunFrames, first: int) -> Finding:
    last = first if frames.losses.last_bad is None else frames.losses.last_bad
    lasting = loss_still_bad(frames)
    until = "and still is at the newest step" if lasting else f"until step {last:,}"
    sentence = (
        f"The loss is not finite from step {first:,} {until}, though every sampled activation and gradient is finite."
    )
    return finding(lasting, sentence, Evidence(frames.run, "loss", "", "train", frames.stack, (), (first, last)))


def all_finite(frames: RunFrames) -> Finding:
    evidence = Evidence(frames.run, "nonfinite", "resid_post", frames.phase, frames.stack)
    sentence = f"No NaN or Inf in {frames.sampled:,} sampled steps and {frames.losses.count:,} losses."
    return Finding(NAME, TITLE, "ok", sentence, evidence, RULE, OWN, "high", "Nothing to do.")


def finding(lasting: bool, sentence: str, evidence: Evidence) -> Finding:
    return Finding(NAME, TITLE, "critical" if lasting else "warning", sentence, evidence, RULE, OWN, "high", ADVICE)


def first_row(rows: pd.DataFrame) -> pd.Series:
    """The earliest row; of one step's rows activations before gradients, then the lowest layer, then forward order."""
    order = rows.assign(
        backward=rows["what"] != "activation",
        depth=rows["layer"].fillna(math.inf),
        place=[FORWARD_ORDER.index(site) if site in FORWARD_ORDER else -1 for site in rows["site"]],
    )
    return order.sort_values(["first_step", "backward", "depth", "place"]).iloc[0]


def place(row: pd.Series) -> str:
    return str(row["site"]) if pd.isna(row["layer"]) else f"layer {int(row['layer'])} ({row['site']})"


def extent(rows: pd.DataFrame, layers: tuple[int, ...]) -> str:
    activations = rows[rows["what"] == "activation"]
    count = f"{int(activations['total'].sum()):,} activations" if len(activations) else "gradients only"
    return f"{count}, {layer_range(layers)}" if layers else count


def loss_still_bad(frames: RunFrames) -> bool:
    return frames.losses.count > 0 and not math.isfinite(frames.losses.last)


CHECK = Check(NAME, TITLE, check)
