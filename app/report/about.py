"""Where a figure comes from: how much data, which data, what was computed, and the command that makes it again."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..text import plain, short
from .uncertainty import seed_groups, uncertainty

__all__ = ["About", "Definition", "about", "command", "digest"]


@dataclass(frozen=True)
class Definition:
    """Of the metric a figure shows; both '' where it shows several."""

    formula: str = ""
    reduction: str = ""


@dataclass(frozen=True)
class About:
    """Said in the fine print below a figure."""

    rows: int
    """Rows of the store's answer that are drawn, before any thinning."""
    runs: int
    tokens: int | None
    """Tokens that each value rests on, the fewest; None where the store does not tell."""
    batch: str
    """Which tokens those are, in words; '' where values rest on no batch."""
    data: tuple[str, ...]
    """What the runs were trained on: their data's hashes, shortened."""
    uncertainty: str
    """What is known of the errors of the values."""
    digest: str
    """SHA-256 of those rows as CSV, its first 16 digits."""
    definition: str
    """Of the metric shown; '' where the figure shows several."""
    command: str
    """Draws it again from the same store."""


def about(frame: pd.DataFrame, runs: pd.DataFrame, definition: Definition, command: str) -> About:
    """Of the rows a figure is drawn from; `runs` are the rows of run_table of all the report's runs."""
    shown = runs[runs["run"].isin(frame["run"])] if "run" in frame.columns else runs
    tokens, batch = measured_on(frame, shown)
    return About(
        rows=len(frame),
        runs=int(frame["run"].nunique()) if "run" in frame.columns else 1,
        tokens=tokens,
        batch=batch,
        data=tuple(sorted({short(text, 12) for text in shown["data_id"].dropna()})),
        uncertainty=uncertainty(frame, definition.reduction, seed_groups(shown)),
        digest=digest(frame),
        definition=definition.formula,
        command=command,
    )


def measured_on(frame: pd.DataFrame, runs: pd.DataFrame) -> tuple[int | None, str]:
    """The fewest tokens that a value rests on, and which they are; None where the store does not tell."""
    tokens = frame["tokens"].dropna() if "tokens" in frame.columns else frame.iloc[:0]
    if len(tokens):
        return int(tokens.to_numpy().min()), "held-out tokens"
    if "phase" not in frame.columns:
        return None, ""
    if set(frame["phase"]) != {"train"}:
        return None, "the run's held-out batch, whose size is not kept"
    a_step = (runs["tokens"] / (runs["last_step"] + 1)).dropna()
    return (int(float(a_step.min())), "tokens of a training step") if len(a_step) else (None, "")


def digest(frame: pd.DataFrame) -> str:
    """The same rows give the same digits, on every machine."""
    return hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace")).hexdigest()[:16]


def command(store: str, runs: Sequence[str], section: str) -> str:
    """The command line that draws one section; `runs` is empty when they are all of the store's."""
    named = [word for run in runs for word in ("--run", run)]
    words = ["depthscope", "report", store, *named, "--section", section, "-o", "report.html"]
    return plain(shlex.join(words))
