"""What a site is while a step is recorded: the rows it writes into, and what it showed that is not folded yet."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from .massive import TopRow

__all__ = ["BlockSlot", "Seen", "Slot"]


@dataclass(frozen=True)
class Slot:
    """What one site writes into; None for what is not measured at it."""

    site: str
    activations_2K: Tensor | None
    gradients_2K: Tensor | None
    pair_2K: Tensor | None
    top: TopRow | None


class Seen(NamedTuple):
    """What a site showed, and the rows it adds to: `pair_2K` where it is what a block adds to its stream."""

    x: Tensor
    activations_2K: Tensor | None
    top: TopRow | None
    pair_2K: Tensor | None


@dataclass
class BlockSlot:
    """The sites of one block, and the stream it was given while it runs."""

    enters: Slot | None  # layer 0, for block 1
    leaves: Slot
    pair_2K: Tensor | None
    copies: bool
    entered: Tensor | None = None
    waiting: list[tuple[Slot, Tensor, int]] = field(default_factory=list)
    """Seen since it was entered, with the version of each tensor's content."""
