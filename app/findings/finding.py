"""The record every diagnosis returns: one sentence with numbers, what it rests on, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .frames import RunFrames

__all__ = ["SEVERITIES", "Check", "Confidence", "Evidence", "Finding", "Severity"]

Severity = Literal["critical", "warning", "info", "ok"]
Confidence = Literal["high", "medium", "low"]

# Worst first: the order findings are shown in.
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "ok")


@dataclass(frozen=True)
class Evidence:
    """Where to look: the rows of layer_stats (or massive, steps) that the sentence summarizes."""

    run: str
    metric: str
    site: str
    phase: str
    stack: str = "main"
    layers: tuple[int, ...] = ()
    """Layers concerned, ascending; empty when the finding is about the whole run."""
    steps: tuple[int, int] | None = None
    """First and last step concerned, both included."""


@dataclass(frozen=True)
class Finding:
    """What one diagnosis says of one run."""

    name: str
    title: str
    severity: Severity
    sentence: str
    evidence: Evidence
    rule: str
    """The rule applied, with its thresholds in numbers."""
    source: str
    """Where rule and thresholds come from: a paper, or depthscope's own choice, said so."""
    confidence: Confidence
    advice: str


@dataclass(frozen=True)
class Check:
    """One line of FINDINGS. `run` gives None when what it needs was not measured."""

    name: str
    title: str
    run: Callable[[RunFrames], Finding | None]
