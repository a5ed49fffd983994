"""A block that runs several times in a forward: each of its calls is a layer, and has hooks of its own.

Every hooked place counts its own calls. What a checkpoint runs without gradients (reentrant) it runs again
in the backward, the last call first: those calls are remembered and taken up again in that order. The counters are
plain integers: a graph of the whole model unrolls them, and where only the shared block itself is compiled it has a
graph for each call.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn

from .inert import Inert

__all__ = ["EachTurn", "all_turns_paused"]


@contextmanager
def all_turns_paused() -> Iterator[None]:
    """Inside, blocks may run as often as they like, and no call counts."""
    before, EachTurn.paused = EachTurn.paused, True
    try:
        yield
    finally:
        EachTurn.paused = before


class EachTurn(Inert):
    """Passes a hook's call on to the hook of the layer that is running; to none for calls that were not expected."""

    paused: ClassVar[bool] = False

    def __init__(self, hooks: Mapping[int, Callable[..., Any]], failed: Callable[[str, Exception], None]) -> None:
        self._hooks, self._failed = dict(hooks), failed
        self._calls = 0
        self._again: list[int] = []

    def restart(self) -> None:
        """A forward of the model starts."""
        self._calls = 0
        self._again = []

    def __call__(self, module: nn.Module, *seen: Any) -> Any:
        if self.paused:
            return None
        hook = self._hooks.get(self._turn())
        return None if hook is None else hook(module, *seen)

    def _turn(self) -> int:
        """The layer of this call, from 0; -1 for a recomputation whose gradients were heard of in its forward."""
        if not torch.compiler.is_compiling():
            if torch._C._current_graph_task_id() != -1:
                return self._again.pop() if self._again else -1
            if not torch.is_grad_enabled():
                self._again.append(self._calls)
            if self._calls > max(self._hooks):
                self._failed("a layer", RuntimeError(f"a block runs more often than its {max(self._hooks) + 1} layers"))
        self._calls += 1
        return self._calls - 1
