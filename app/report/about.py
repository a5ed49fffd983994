"""Where a figure comes from: how much data, which data, what was computed, and the command that makes it again."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..text import plain

__all__ = ["About", "about", "command", "digest"]


@dataclass(frozen=True)
class About:
    """Said in the fine print below a figure."""

    rows: int
    """Rows of the store's answer that are drawn, before any thinning."""
    runs: int
    tokens: int | None
    """Held-out tokens that each value rests on, the fewest; None where rows do not tell."""
    uncertainty: str
    """What is known of the errors of the values."""
    digest: str
    """SHA-256 of those rows as CSV, its first 16 digits."""
    definition: str
    """Of the metric shown; '' where the figure shows several."""
    command: str
    """Draws it again from the same store."""


def about(frame: pd.DataFrame, definition: str, command: str) -> About:
    """Of the rows a figure is drawn from."""
    runs = int(frame["run"].nunique()) if "run" in frame.columns else 1
    tokens = frame["tokens"].dropna() if "tokens" in frame.columns else pd.Series(dtype="float64")
    fewest = int(tokens.min()) if len(tokens) else None
    return About(len(frame), runs, fewest, uncertainty(frame), digest(frame), definition, command)


def uncertainty(frame: pd.DataFrame) -> str:
    """What the columns tell of the errors of the values."""
    if {"delta_se", "loss_se", "error"} & set(frame.columns):
        return "standard errors are paired (same tokens) and clustered by sequence"
    if {"low", "high"} <= set(frame.columns):
        return "bands are the range inside each bucket of steps, not an error"
    return "each value is one measurement of one run; no error is known"


def digest(frame: pd.DataFrame) -> str:
    """The same rows give the same digits, on every machine."""
    return hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace")).hexdigest()[:16]


def command(store: str, runs: Sequence[str], section: str) -> str:
    """The command line that draws one section; `runs` is empty when they are all of the store's."""
    named = [word for run in runs for word in ("--run", run)]
    words = ["depthscope", "report", store, *named, "--section", section, "-o", "report.html"]
    return plain(shlex.join(words))
