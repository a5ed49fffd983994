"""Run reductions as plain operations until that has cost what compiling them costs, then compiled.

On a CPU one fused pass is many times faster than a chain of separate operations, and compiling it takes some twenty
seconds: a short run is over before that pays, a long one gains from the first minutes on. Switching when both have cost
the same is never worse than twice the better choice (the ski rental rule). What counts is computing of the training's
thread, not the clock: where other trainings share the cores, compiling would come too early by it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["Engine"]

COMPILING_COSTS_S = 30.0
KINDS = 16  # of blocks and batch shapes

Fold = Callable[..., Any]


class Engine:
    """Calls folds (pure functions of their arguments), and swaps their compiled versions in when it is time."""

    def __init__(self, failed: Callable[[str, Exception], None], patience_s: float = COMPILING_COSTS_S) -> None:
        self._failed, self._patience_s = failed, patience_s
        self._spent_s = 0.0
        self._compiled: dict[Fold, Fold] = {}

    def __call__(self, fold: Fold, *tensors: Any) -> Any:
        """`fold(*tensors)`; inside somebody's compiled graph it becomes part of that graph."""
        if torch.compiler.is_compiling():
            return fold(*tensors)
        if self._spent_s >= self._patience_s:
            return self._fused(fold, *tensors)
        start = time.thread_time()
        result = fold(*tensors)
        self._spent_s += time.thread_time() - start
        return result

    def _fused(self, fold: Fold, *tensors: Any) -> Any:
        compiled = self._compiled.get(fold)
        if compiled is None:
            compiled = self._compiled[fold] = fuse(fold)
        try:
            return compiled(*tensors)
        except Exception as error:  # no compiler on this machine, or one that cannot
            self._patience_s = float("inf")
            self._failed("compiling the statistics (plain operations go on)", error)
            return fold(*tensors)


def fuse(fold: Fold) -> Fold:
    """`fold`, compiled for each kind of arguments it meets; apart from what others compiled of the same code."""
    options: dict[str, str | int | bool | Callable[..., Any]] = {"guard_filter_fn": of_arguments}
    return torch.compile(  # type: ignore[call-overload,no-any-return]  # its overloads lack the last two
        fold, fullgraph=True, options=options, recompile_limit=KINDS, isolate_recompiles=True
    )


def of_arguments(guards: Sequence[Any]) -> list[bool]:
    """Which guards a compiled fold checks at each call: those on what it is given.

    By default it also checks that none of our own objects, tables and functions has changed since it was traced: that
    costs more than the reductions of a small model, and nothing changes them.
    """
    return [not (guard.is_global or "['self']" in guard.name) for guard in guards]
