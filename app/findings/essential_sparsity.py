"""How many weights can be set to zero for 1 % of the held-out loss, and is that more than too little training?"""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from .finding import Check, Confidence, Evidence, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds
from .undertrained import too_early

__all__ = ["CHECK"]

Row = Mapping[Hashable, Any]

# Across strategies a ranking inside each matrix is the fair one: weights that feed a norm have no scale of their own.
SCOPES = ("matrix", "global")
WORDS = {"matrix": "in each matrix", "global": "in all matrices together"}


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """The dropping point of the trained weights beside that of the untrained ones; None where none was measured."""
    points = frames.drops[(frames.drops["ranking"] == "magnitude")]
    points = points[points["definition"].str.endswith("_1pct")]
    found = next((row for scope in SCOPES if (row := pick(points, scope, "current")) is not None), None)
    if found is None:
        return None
    control = pick(points, str(found["scope"]), "init")
    early_days = too_early(frames, limits)
    step = int(found["step"])
    sure: Confidence = "low" if early_days or control is None else "medium"
    evidence = Evidence(frames.run, "sparsity", "block", "probe", frames.stack, (), (step, step))
    return Verdict("info", sentence(found, control, early_days), evidence, sure, ADVICE)


def pick(points: pd.DataFrame, scope: str, weights: str) -> Row | None:
    rows = points[(points["scope"] == scope) & (points["weights"] == weights)]
    return None if rows.empty else rows.iloc[-1].to_dict()


def share(row: Row) -> str:
    return f"{'' if row['reached'] else 'at least '}{100 * float(row['sparsity']):.3g}%"


def sentence(found: Row, control: Row | None, early_days: str) -> str:
    said = (
        f"{share(found)} of the weights of the blocks, the smallest {WORDS[str(found['scope'])]}, can be set to zero "
        f"for at most 1% of the held-out loss ({float(found['loss']):.3f} nats a token) at step "
        f"{int(found['step']):,}, without fine-tuning"
    )
    beside = (
        "untrained weights were not measured beside them"
        if control is None
        else f"of untrained weights {share(control)}"
    )
    return "; ".join(filter(None, (f"{said[0].upper()}{said[1:]}", beside, early_days))) + "."


def rule(limits: Thresholds) -> str:
    return (
        "oneshot_ce_1pct: the last measured sparsity before the held-out loss exceeds the dense loss by 1%, one-shot "
        "magnitude pruning, no fine-tuning; noted always, believed less for a run that is too young and where the "
        "untrained weights were not measured as a control"
    )


ADVICE = (
    "Compare runs at equal loss: the less a model has learnt, the more of it can be pruned. Fine-tuning what is left "
    "moves the point up (Essential Sparsity, arXiv 2306.03805)."
)

CHECK = Check(
    "essential_sparsity",
    "Essential sparsity",
    "How many weights can be set to zero before the held-out loss drops?",
    check,
    rule,
    f"Essential Sparsity, arXiv 2306.03805, which fine-tunes and uses task accuracy; definition: {OWN}",
)
