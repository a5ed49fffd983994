"""ProRes on Pre-LN: branches are switched on one after the other, the early blocks first.

    x ──┬───────────────────────────────────── + ──> x'        alpha = min(t / (T l), 1)
        └── norm ── branch ── times alpha ─────┘

At step 0 every block is the identity; block l has its full strength from step T l on (T = 1000 in the paper). A step is
a training forward: with gradient accumulation T counts micro-batches.

Source: "Progressive Residual Warmup" (ProRes), 2026, arXiv 2603.05369.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["PRORES", "ProResJoin", "prores"]


class ProResJoin(Join):
    """Counts the training forwards in the buffer `step`; evaluation uses the strength reached so far."""

    step: Tensor

    def __init__(self, norm: nn.Module, full_after: int) -> None:
        super().__init__()
        self.norm, self.full_after = norm, full_after
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        alpha = self.strength().to(x_BTD.dtype)
        if self.training and torch.is_grad_enabled():
            self.step = self.step + 1  # a new tensor: this step's graph keeps the old one
        return x_BTD + alpha * f(self.norm(x_BTD))

    def strength(self) -> Tensor:
        """alpha of the next forward, 0-d, in [0, 1]."""
        return (self.step / self.full_after).clamp(max=1)

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return x_BTD, self.strength() * branch_BTD

    def extra_repr(self) -> str:
        return f"full_after={self.full_after}"


def prores(steps: int) -> Strategy:
    """The ProRes in which block l has its full strength after `steps` times l training forwards."""

    def block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
        full_after = steps * place.layer
        return Block(attn, mlp, ProResJoin(place.norm(), full_after), ProResJoin(place.norm(), full_after))

    return Strategy(
        name="prores",
        title="ProRes on Pre-LN",
        flow=f"x + min(t / ({steps} l), 1) F(N(x))",
        source="arXiv 2603.05369",
        block=block,
        placement="pre",
        note=f"Block l has its full strength after {steps} l steps: in shorter runs deep blocks stay weak.",
    )


PRORES = prores(1000)
