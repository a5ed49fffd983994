"""A block that runs several times in a forward: each of its calls is a layer, and has hooks of its own.

Forwards count up. A checkpoint's recomputation runs the same calls again, the last one first. The counters are plain
integers: a graph of the whole model unrolls them, and where only the shared block itself is compiled it has a graph for
each call.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from .inert import Inert

__all__ = ["EachTurn", "Turns"]


class Turns:
    """Which of a module's calls is running: `now` counts from 0."""

    def __init__(self, expected: int, failed: Callable[[str, Exception], None]) -> None:
        self._expected, self._failed, self._begun = expected, failed, 0
        self.now = -1

    def restart(self) -> None:
        """A forward of the model starts."""
        self._begun, self.now = 0, -1

    def enter(self) -> None:
        """The module is called."""
        if not torch.compiler.is_compiling():
            if torch._C._current_graph_task_id() != -1:
                self._begun -= 1
                self.now = self._begun
                return
            if self._begun == self._expected:
                self._failed("a layer", RuntimeError(f"expected {self._expected} calls of a shared block, got more"))
        self.now = self._begun
        self._begun += 1


class EachTurn(Inert):
    """Passes a hook's call on to the hook of the call that is running; none for calls that were not expected."""

    def __init__(self, turns: Turns, hooks: Mapping[int, Callable[..., Any]], *, enters: bool) -> None:
        self.turns, self.hooks, self.enters = turns, dict(hooks), enters

    def __call__(self, module: nn.Module, *seen: Any) -> Any:
        if self.enters:
            self.turns.enter()
        hook = self.hooks.get(self.turns.now)
        return None if hook is None else hook(module, *seen)
