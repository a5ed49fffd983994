"""Hear of a tensor's gradient, in eager mode and inside compiled graphs.

Eager: a tensor hook; it changes nothing, not even for models that modify the tensor in place.
Compiled: an identity with a backward of its own. A hook's accumulator would be saved for the backward graph and found
changed where a block runs twice before its backward; what a Function keeps on its context is not checked. The copy in
its forward disappears when the graph is compiled.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

__all__ = ["hear", "tap"]

_Adds = Callable[[Tensor, Tensor, Tensor | None], None]
"""(row, gradient, real tokens): add a gradient to a row."""


def hear(x: Tensor, row: Tensor, real_BT: Tensor | None, pool: _Adds) -> RemovableHandle:
    """Call `pool` with the gradient of `x` when it comes; the hook goes with the tensor, or by its handle."""

    def heard(grad: Tensor) -> None:
        pool(row, grad, real_BT)

    handle: RemovableHandle = x.register_hook(heard)  # type: ignore[no-untyped-call]
    return handle


def tap(x: Tensor, row: Tensor, real_BT: Tensor | None, pool: _Adds) -> Tensor:
    """`x` again, whose gradient passes through `pool`; to be used in its place."""
    tapped: Tensor = _Tap.apply(x, row, real_BT, pool)  # type: ignore[no-untyped-call]
    return tapped


class _Tap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, row: Tensor, real_BT: Tensor | None, pool: _Adds) -> Tensor:
        ctx.row, ctx.real_BT, ctx.pool = row, real_BT, pool
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        ctx.pool(ctx.row, grads[0], ctx.real_BT)
        return grads[0], None, None, None
