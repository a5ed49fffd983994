"""What is changed in a forward, as data: which blocks are left out or run twice, and which branches add nothing."""

from dataclasses import dataclass

__all__ = ["UNCHANGED", "LayerKey", "Program"]

LayerKey = tuple[str, int]
"""(stack, layer), layers from 1."""


@dataclass(frozen=True)
class Program:
    """`skipped` blocks pass their input on, `repeated` ones run twice, `zeroed` branches (layer, site) add nothing.

    `tokens` restricts skipping to the first so many positions of every sequence.
    """

    skipped: frozenset[LayerKey] = frozenset()
    repeated: frozenset[LayerKey] = frozenset()
    zeroed: frozenset[tuple[LayerKey, str]] = frozenset()
    tokens: int | None = None

    @property
    def changed(self) -> frozenset[LayerKey]:
        """Layers that do not run as usual."""
        return self.skipped | self.repeated | {layer for layer, _ in self.zeroed}

    def runs(self, layer: LayerKey) -> int:
        """How often a block is executed."""
        return 0 if layer in self.skipped and self.tokens is None else 2 if layer in self.repeated else 1


UNCHANGED = Program()
