"""Token norms of the gradients of one backward, folded into their rows together.

A hook in the backward does a single operation; what makes a number of it is done for all sites at once, after the
backward. Shapes: S sites, N tokens.
"""

from torch import Tensor

from .accumulate import Accumulator
from .metrics import Gradients

__all__ = ["PendingNorms"]


class PendingNorms:
    """What a backward has brought so far: `[N]` a site, gone when folded."""

    def __init__(self, into: Accumulator) -> None:
        self._into = into
        self._waiting: dict[tuple[int, int], list[tuple[Tensor, Gradients]]] = {}

    def add(self, row_2K: Tensor, grad: Tensor, real_BT: Tensor | None) -> None:
        """The gradient of a site's activations, whose row it will go to."""
        gradients = Gradients(grad, real_BT)
        kind = (gradients.norm_N.numel(), id(real_BT))
        self._waiting.setdefault(kind, []).append((row_2K, gradients))

    def fold(self) -> None:
        """Add everything that waits to its rows."""
        waiting, self._waiting = self._waiting, {}
        for found in waiting.values():
            rows, gradients = zip(*found, strict=True)
            self._into.add_each(rows, Gradients.stacked(gradients))
