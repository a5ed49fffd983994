"""Where a resumed run goes on: the step that its optimizer has come to, and the tokens it had seen by then.

An optimizer counts its updates (`step` in its state), and a checkpoint brings that count back. It is the step of the
run, unless the run began with an optimizer that had counted before, or went on with a new one: such differences are
kept as the scalar `optimizer_step`, the optimizer's count at that step.
"""

import gc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from depthscope.store import DepthscopeError, open_store

__all__ = ["COUNT", "Past", "past_of", "updates_of", "updates_so_far"]

COUNT = "optimizer_step"
"""The name of the scalar."""


@dataclass(frozen=True)
class Past:
    """What is known of a run's earlier attempts.

    `counts` are (step, the optimizer's count at it) where they began to differ by another number, oldest first.
    """

    last_step: int = -1
    counts: tuple[tuple[int, int], ...] = ()
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def step_after(self, updates: int) -> int:
        """The step of this run at which its optimizer counts `updates`.

        The newest of the known differences that leads to a step the run has had; else the one that leads least beyond
        (rows of the last steps before a kill may be missing).
        """
        reached = [(since, since + updates - count) for since, count in ((0, 0), *self.counts)]
        reached = [(since, step) for since, step in reached if step >= since]
        known = [step for _, step in reached if step <= self.last_step + 1]
        return known[-1] if known else min((step for _, step in reached), default=self.last_step + 1)

    def tokens_before(self, step: int) -> int:
        """Tokens seen when step `step` opened; 0 where the store does not say."""
        earlier = self.tokens[self.steps < step]
        return int(np.nanmax(earlier)) if earlier.size and not np.isnan(earlier).all() else 0


def past_of(store: str | Path | None, run: str) -> Past:
    """What the store knows of `run`; nothing where there is no such run, or the store cannot be read now."""
    try:
        found = open_store(store)
        rows = found.steps(runs=[run], columns=["tokens"])
        counts = found.sql("SELECT step, value FROM scalars WHERE run = ? AND name = ? ORDER BY step", [run, COUNT])
    except DepthscopeError:
        return Past()
    pairs = tuple(zip(counts.step.astype(int).tolist(), counts.value.astype(int).tolist(), strict=True))
    last = int(rows.step.max()) if len(rows) else -1
    return Past(last, pairs, rows.step.to_numpy(float), rows.tokens.to_numpy(float, na_value=np.nan))


def updates_of(optimizer: Optimizer) -> int | None:
    """How often an optimizer counts that it has updated; None where it does not count, or has not yet."""
    counts = [state["step"] for state in optimizer.state.values() if isinstance(state, dict) and "step" in state]
    counts += [group["step"] for group in optimizer.param_groups if "step" in group]
    numbers = [int(count) for count in counts if not isinstance(count, Tensor)]
    tensors = [count.detach().reshape(()) for count in counts if isinstance(count, Tensor)]
    if tensors:  # one copy to the host, however many there are
        numbers.append(int(torch.stack([t.to(tensors[0].device, torch.float64) for t in tensors]).max()))
    return max(numbers, default=0) or None


def updates_so_far(model: nn.Module) -> int | None:
    """The largest count of the optimizers alive that train `model`; None where none of them counts yet."""
    mine = {id(p) for p in model.parameters()}
    found = [item for item in gc.get_objects() if issubclass(type(item), Optimizer)]
    counts = [
        updates_of(each) for each in found if any(id(p) in mine for group in each.param_groups for p in group["params"])
    ]
    return max((count for count in counts if count is not None), default=None)
