"""What is said of a claim, and the rule by which two numbers decide it: the same for every claim, fixed beforehand."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .evidence import Runs

__all__ = ["Claim", "Evidence", "Verdict", "larger", "larger_by"]


class Verdict(Enum):
    """Of one claim, at the size that was run."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    OPPOSITE = "opposite"


@dataclass(frozen=True)
class Evidence:
    """What was measured, in words with numbers, and what follows."""

    text: str
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, the strategies whose runs speak of it, and what they say."""

    paper: str
    source: str
    claim: str
    strategies: tuple[str, ...]
    look: Callable[[Runs], Evidence]


MARGIN = 0.1
"""Of two numbers that should differ, the larger must be larger by a tenth: single runs differ by less for no reason."""


def larger(first: float, second: float) -> Verdict:
    """Whether the first of two positive numbers is larger, by MARGIN."""
    if first > (1 + MARGIN) * second:
        return Verdict.SHOWN
    return Verdict.OPPOSITE if second > (1 + MARGIN) * first else Verdict.NOT_SHOWN


def larger_by(difference: float, noise: float) -> Verdict:
    """Whether a difference is positive beyond its noise."""
    if difference > noise:
        return Verdict.SHOWN
    return Verdict.OPPOSITE if difference < -noise else Verdict.NOT_SHOWN
