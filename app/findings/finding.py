"""The record every diagnosis returns: one sentence with numbers, what it rests on, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .frames import RunFrames
from .thresholds import THRESHOLDS, Thresholds

__all__ = ["NOTHING", "SEVERITIES", "Check", "Confidence", "Evidence", "Finding", "Severity", "Verdict"]

Severity = Literal["critical", "warning", "info", "ok"]
Confidence = Literal["high", "medium", "low"]

# Worst first: the order findings are shown in.
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "ok")

NOTHING = "Nothing to do."


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
class Verdict:
    """What a diagnosis says of one run; its Check adds the name, the rule and the source."""

    severity: Severity
    sentence: str
    evidence: Evidence
    confidence: Confidence
    advice: str = NOTHING


@dataclass(frozen=True)
class Finding:
    """A verdict together with what it was judged by."""

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
    """One line of FINDINGS."""

    name: str
    title: str
    about: str
    """The question it answers, for the documentation."""
    judge: Callable[[RunFrames, Thresholds], Verdict | None]
    """None when what it needs was not measured, or when it has nothing to say."""
    rule: Callable[[Thresholds], str]
    source: str
    silent: bool = False
    """Says nothing where nothing is wrong: None is then no sign that something was not measured."""

    def run(self, frames: RunFrames, limits: Thresholds = THRESHOLDS) -> Finding | None:
        """The finding on one stack of one run, or None."""
        verdict = self.judge(frames, limits)
        if verdict is None:
            return None
        return Finding(
            self.name,
            self.title,
            verdict.severity,
            verdict.sentence,
            verdict.evidence,
            self.rule(limits),
            self.source,
            verdict.confidence,
            verdict.advice,
        )
