"""Run a model with pruned weights without writing to one of them.

While a block runs, its modules hold masked copies in place of their weights; when it has run they hold the weights
again. So the memory is that of the largest block, no weight is ever changed, and an exception or Ctrl-C at any moment
leaves the model as it was.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depthscope.store import DepthscopeError

from ..inert import Inert
from .masks import Mask, apply
from .matrices import Matrix, Place

__all__ = ["pruned"]


@contextmanager
def pruned(model: nn.Module, matrices: Sequence[Matrix], masks: Sequence[Mask]) -> Iterator[None]:
    """Inside, every forward of `model` uses the masked weights. Forwards without gradients, outside compiled graphs.

    Raises DepthscopeError on exit when a block did not run: its weights would have counted unpruned.
    """
    swaps = _Swaps(model, matrices, masks)
    try:
        swaps.attach()
        yield
        swaps.check()
    finally:
        swaps.restore()


class _Swaps:
    """The hooks on the blocks, and what is to be put back: always noted before it is taken away."""

    def __init__(self, model: nn.Module, matrices: Sequence[Matrix], masks: Sequence[Mask]) -> None:
        modules = dict(model.named_modules())
        self._work: dict[str, list[tuple[Matrix, Mask]]] = {}
        for matrix, mask in zip(matrices, masks, strict=True):
            for block in dict.fromkeys(place.block for place in matrix.places):
                self._work.setdefault(block, []).append((matrix, mask))
        self._modules = {block: modules[block] for block in self._work}
        self._saved: list[tuple[Place, nn.Parameter | None]] = []
        self._handles: list[RemovableHandle] = []
        self._ran: set[str] = set()

    def attach(self) -> None:
        for block, module in self._modules.items():
            self._handles.append(module.register_forward_pre_hook(_Before(self._swap, block)))
            self._handles.append(module.register_forward_hook(_After(self._put_back), always_call=True))

    def check(self) -> None:
        """Every block was called."""
        missing = next((block for block in self._modules if block not in self._ran), None)
        if missing is not None:
            raise DepthscopeError(f"expected block {missing[:80]!r} to run in a held-out forward, it did not")

    def restore(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._put_back()

    def _swap(self, block: str) -> None:
        self._put_back()  # a block that raised without its hook being called
        self._ran.add(block)
        torch.clear_autocast_cache()  # else autocast goes on with the low-precision copy of the whole weight
        for matrix, mask in self._work[block]:
            masked = nn.Parameter(_masked(matrix, mask), requires_grad=False)
            for place in matrix.places:
                if place.block == block:
                    self._saved.append((place, place.module._parameters[place.name]))
                    place.module._parameters[place.name] = masked

    def _put_back(self) -> None:
        while self._saved:
            place, weight = self._saved[-1]
            place.module._parameters[place.name] = weight
            self._saved.pop()
        torch.clear_autocast_cache()


def _masked(matrix: Matrix, mask: Mask) -> Tensor:
    copy = matrix.weight.clone()
    apply(mask, matrix, copy)
    return copy


class _Before(Inert):
    def __init__(self, swap: Callable[[str], None], block: str) -> None:
        self.swap, self.block = swap, block

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.swap(self.block)


class _After(Inert):
    def __init__(self, put_back: Callable[[], None]) -> None:
        self.put_back = put_back

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.put_back()
