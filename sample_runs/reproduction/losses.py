"""Ways to look at a claim about held-out losses, be they of one learning rate or of each strategy's best."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .verdict import Evidence, Verdict, larger_by, weakest

__all__ = ["LOSS_NOISE", "LossLook", "Losses", "lower_loss", "no_worse", "same_training"]

LOSS_NOISE = 0.05
"""Nats: seeds of one strategy were seen to differ by less at this kind of size; one pair cannot decide below it."""


class Losses(Protocol):
    """What the runs of one seed ended with."""

    def held_out(self, strategy: str) -> float:
        """Held-out loss at the end of training, nats a byte."""
        ...


@dataclass(frozen=True)
class LossLook:
    """Judges the first minus the second of each pair of strategies; fair where each has its own best learning rate."""

    pairs: tuple[tuple[str, str], ...]
    judge: Callable[[float], Verdict]

    def __call__(self, runs: Losses) -> Evidence:
        values = {strategy: runs.held_out(strategy) for pair in self.pairs for strategy in pair}
        differences = {f"{first} - {second}": values[first] - values[second] for first, second in self.pairs}
        verdict = weakest([self.judge(each) for each in differences.values()])
        return Evidence("held-out loss in nats a byte", values, differences, verdict)


def lower_loss(better: str, others: tuple[str, ...]) -> LossLook:
    """One strategy ends with a lower held-out loss than each of the others."""
    return LossLook(tuple((other, better) for other in others), lambda difference: larger_by(difference, LOSS_NOISE))


def no_worse(strategy: str, other: str) -> LossLook:
    """One strategy ends with a held-out loss no higher than another's."""

    def judge(difference: float) -> Verdict:
        return Verdict.OPPOSITE if difference > LOSS_NOISE else Verdict.SHOWN

    return LossLook(((strategy, other),), judge)


def same_training(first: str, second: str) -> Callable[[Losses], Evidence]:
    """Two ways to write one model train alike: at every learning rate, so that one is enough to see it."""

    def judge(difference: float) -> Verdict:
        return Verdict.SHOWN if abs(difference) <= LOSS_NOISE else Verdict.OPPOSITE

    look = LossLook(((first, second),), judge)
    return lambda runs: look(runs)
