"""What a measurement costs, in passes over the held-out sequences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .program import LayerKey, Program

__all__ = ["NOTHING", "Cost", "program_cost"]


@dataclass(frozen=True)
class Cost:
    """`calls` of the whole model and executed `blocks`, both for all held-out sequences once."""

    calls: float
    blocks: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.calls + other.calls, self.blocks + other.blocks)

    def times(self, factor: float) -> "Cost":
        """So many of it, or a part of it."""
        return Cost(self.calls * factor, self.blocks * factor)

    def forwards(self, layers: int, block_share: float) -> float:
        """In forwards of the untouched model, of whose time its blocks take `block_share`."""
        return self.calls * (1 - block_share) + self.blocks / layers * block_share


NOTHING = Cost(0, 0)


def program_cost(layers: Sequence[LayerKey], programs: Iterable[Program]) -> Cost:
    """Of running programs from the first block that differs, with the forward that keeps the states."""
    cost = Cost(1, len(layers))
    for program in programs:
        first = min(layers.index(layer) for layer in program.changed) if program.changed else 0
        cost += Cost(1, sum(program.runs(layer) for layer in layers[first:]))
    return cost
