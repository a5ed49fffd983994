"""What a held-out measurement is given, and what it has to say of itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from depthscope.store import Record

from ..sites import Sites
from .bench import Bench
from .cost import Cost
from .holdout import Holdout, Losses, joined, piece_losses, pieces
from .program import LayerKey
from .split import sequences

__all__ = ["Context", "Kind"]


@dataclass(frozen=True)
class Context:
    """A model in eval mode and without gradients, its sites and held-out batches, for one step of a run.

    `base` are the losses of the untouched model. `seed` is for what is drawn. `bench` skips, repeats and zeroes.
    `initial`: these are the weights that the run began with. `memory` is kept from one evaluation of a run to its next.
    """

    model: nn.Module
    sites: Sites
    holdout: Holdout
    base: Losses
    step: int
    bench: Bench
    advance: Callable[[Cost], None]
    seed: int = 0
    initial: bool = False
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, float]:
        """By kind, its last measured seconds over those that its forwards alone would have taken."""
        found: dict[str, float] = self.memory.setdefault("rates", {})
        return found

    @property
    def layers(self) -> tuple[LayerKey, ...]:
        """Every (stack, layer)."""
        return self.bench.layers

    def stacks(self) -> dict[str, list[LayerKey]]:
        """The layers of each stack, in order of depth."""
        names = dict.fromkeys(stack for stack, _ in self.layers)
        return {name: [layer for layer in self.layers if layer[0] == name] for name in names}

    def losses(self) -> Losses:
        """The losses of the model as it is now: one forward over all held-out sequences."""
        found = []
        total = sum(sequences(batch) for batch in self.holdout.batches)
        for piece in pieces(self.holdout):
            found.append(piece_losses(self.model, piece, self.holdout.loss_fn))
            share = sequences(piece) / total
            self.advance(Cost(share, len(self.layers) * share))
        return joined(found)


@dataclass(frozen=True)
class Kind:
    """One kind of measurement: `measure` returns its records, `cost` says beforehand what it takes.

    `standard`: measured where nobody names what to measure; `in_training`: also every `evaluate_every` steps.
    """

    measure: Callable[[Context], list[Record]]
    cost: Callable[[Context], Cost]
    standard: bool = True
    in_training: bool = False
