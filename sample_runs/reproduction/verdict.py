"""What is said of a claim, and the rule by which numbers decide it: the same for every claim, fixed beforehand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .evidence import Runs

__all__ = ["Claim", "Evidence", "Verdict", "larger", "larger_by", "together", "weakest"]


class Verdict(Enum):
    """Of one claim, at the size that was run."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    OPPOSITE = "opposite"


@dataclass(frozen=True)
class Evidence:
    """What the runs of one seed say."""

    measured: str
    """What was measured, in words."""
    values: Mapping[str, float]
    """By strategy, or by what else is compared."""
    pairs: Mapping[str, float]
    """The comparisons of those values, difference or ratio, that decide."""
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, the strategies whose runs speak of it, and what those of one seed say."""

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


def weakest(verdicts: Sequence[Verdict]) -> Verdict:
    """A claim against several is shown when it is shown against each, and opposite when it is against any."""
    for verdict in (Verdict.OPPOSITE, Verdict.NOT_SHOWN):
        if verdict in verdicts:
            return verdict
    return Verdict.SHOWN


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several seeds: what all of them say; where they disagree, or say nothing, the claim is not shown."""
    first, *others = verdicts
    return first if all(verdict is first for verdict in others) else Verdict.NOT_SHOWN
