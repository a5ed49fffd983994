"""Where and when did the first NaN or Inf appear: activations, gradients, loss."""

import math

import pandas as pd

from .finding import NOTHING, Check, Evidence, Verdict
from .frames import RunFrames, in_backward_order, in_forward_order, layer_range
from .thresholds import OWN, Thresholds

__all__ = ["CHECK"]

ADVICE = (
    "Look at the heatmap of abs_max just before the first step: a layer growing towards the largest number of its "
    "format overflows there. Clip gradients, lower the learning rate, warm up for longer, keep branches in float32, or "
    "bound them as Peri-LN does (peri, arXiv 2502.02732)."
)


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The first non-finite value of the run; 'ok' when there is none; None when nothing was measured."""
    if not frames.nonfinite.empty:
        return broken(frames)
    if frames.losses.first_bad is not None:
        return broken_loss(frames, frames.losses.first_bad)
    return all_finite(frames) if frames.sampled or frames.losses.count else None


def broken(frames: RunFrames) -> Verdict:
    rows = frames.nonfinite
    first, last = int(rows["first_step"].min()), int(rows["last_step"].max())
    origin = first_row(rows)
    layers = tuple(sorted({int(layer) for layer in rows["layer"].dropna()}))
    lasting = frames.last_step is None or last >= frames.last_step or loss_still_bad(frames)
    until = "and are still there" if lasting else f"and are gone after step {last:,}"
    sentence = (
        f"Non-finite values start in the {origin['what']} of {place(origin)} at step {first:,} {until} "
        f"({extent(rows, layers)}). {interval(origin, first, frames)}{spread(origin, first, frames)}"
    )
    if frames.losses.first_bad is not None:
        sentence += f" The loss is not finite from step {frames.losses.first_bad:,}."
    metric = "nonfinite" if origin["what"] == "activation" else "param_grad_norm"
    evidence = Evidence(
        frames.run, metric, str(origin["site"]), str(origin["phase"]), frames.stack, layers, (first, last)
    )
    return verdict(lasting, sentence, evidence)


def interval(origin: pd.Series, first: int, frames: RunFrames) -> str:
    """Between which two looks it happened, (last clean, first bad]: steps in between were not looked at."""
    clean = origin.get("last_clean", math.nan)
    if pd.isna(clean):
        return "The first sampled step has them already."
    last, bad_loss = int(clean), frames.losses.first_bad
    if last == first - 1:
        return f"Step {last:,} was still clean."
    end = min(first, bad_loss) if bad_loss is not None and bad_loss > last else first
    said = f"Step {last:,} is the last clean sample, so it happened after it and no later than step {end:,}."
    at_entry = pd.notna(origin["layer"]) and origin["layer"] == 0
    if at_entry and frames.n_layers and everywhere(frames, first, "resid_post") > frames.n_layers:
        return f"{said} Every layer has them by then: which came first cannot be told; sample more often."
    return said


def spread(origin: pd.Series, first: int, frames: RunFrames) -> str:
    """Said where all gradients break at once: clipping by a norm that is not finite makes them so."""
    if origin["site"] == "head" and everywhere(frames, first, "block") == frames.n_layers > 0:
        return " Every gradient has them by then, as after clipping by such a norm: which came first cannot be told."
    return ""


def everywhere(frames: RunFrames, step: int, site: str) -> int:
    """In how many layers a site is broken from `step` on."""
    rows = frames.nonfinite[(frames.nonfinite["first_step"] == step) & (frames.nonfinite["site"] == site)]
    return len(set(rows["layer"]))


def broken_loss(frames: RunFrames, first: int) -> Verdict:
    last = first if frames.losses.last_bad is None else frames.losses.last_bad
    lasting = loss_still_bad(frames)
    until = "and still is at the newest step" if lasting else f"until step {last:,}"
    sentence = (
        f"The loss is not finite from step {first:,} {until}, though every sampled activation and gradient is finite."
    )
    return verdict(lasting, sentence, Evidence(frames.run, "loss", "", "train", frames.stack, (), (first, last)))


def all_finite(frames: RunFrames) -> Verdict:
    evidence = Evidence(frames.run, "nonfinite", "resid_post", frames.phase, frames.stack)
    sentence = f"No NaN or Inf in {frames.sampled:,} sampled steps and {frames.losses.count:,} losses."
    looked = {"activations": frames.counted, "gradients": frames.gradients["param_grad_norm"].notna().any()}
    unseen = [name for name, seen in looked.items() if not seen]
    if unseen and frames.sampled:
        sentence += f" Not looked at: {', '.join(unseen)}."
    return Verdict("ok", sentence, evidence, "high", NOTHING)


def verdict(lasting: bool, sentence: str, evidence: Evidence) -> Verdict:
    return Verdict("critical" if lasting else "warning", sentence, evidence, "high", ADVICE)


def first_row(rows: pd.DataFrame) -> pd.Series:
    """The earliest row; of one step's rows activations before gradients, each in the order they are computed in."""
    earliest = rows[rows["first_step"] == rows["first_step"].min()]
    activations = earliest[earliest["what"] == "activation"]
    ordered = in_backward_order(earliest) if activations.empty else in_forward_order(activations)
    return ordered.iloc[0]


def place(row: pd.Series) -> str:
    return str(row["site"]) if pd.isna(row["layer"]) else f"layer {int(row['layer'])} ({row['site']})"


def extent(rows: pd.DataFrame, layers: tuple[int, ...]) -> str:
    activations = rows[rows["what"] == "activation"]
    count = f"{int(activations['total'].sum()):,} activations" if len(activations) else "gradients only"
    return f"{count}, {layer_range(layers)}" if layers else count


def loss_still_bad(frames: RunFrames) -> bool:
    return frames.losses.count > 0 and not math.isfinite(frames.losses.last)


def rule(limits: Thresholds) -> str:
    return (
        "any NaN or Inf in a hooked activation, a block's gradient norm or the loss; critical while it is still there "
        "at the newest sampled step, a warning when it has gone"
    )


CHECK = Check(
    "nonfinite",
    "Non-finite values",
    "Where and when did the first NaN or Inf appear?",
    check,
    rule,
    OWN,
)
