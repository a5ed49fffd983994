"""See optimizer steps without being called: torch's global optimizer hooks, held weakly and filtered by model.

The post-hook is the boundary: the pre-hook comes too early for loops that run forward and backward inside
`optimizer.step(closure)`, as Lightning does.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

__all__ = ["on_optimizer_steps"]


def on_optimizer_steps(
    before: Callable[[Optimizer], None], after: Callable[[Optimizer], None]
) -> list[RemovableHandle]:
    """Call two bound methods around every optimizer step of the process, for as long as their object lives."""
    return [
        register_optimizer_step_pre_hook(_Weak(before)),
        register_optimizer_step_post_hook(_Weak(after)),
    ]


class _Weak:
    """A global hook must not keep the probe, and through it the model, alive."""

    def __init__(self, method: Callable[[Optimizer], None]) -> None:
        self._method = WeakMethod(method)

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        method = self._method()
        if method is not None:
            method(optimizer)
