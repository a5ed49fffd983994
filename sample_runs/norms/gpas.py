"""GPAS on Pre-LN: after each addition the stream is scaled down by a learned gate that gradients do not feel.

    x ──┬──────────────────── + ── y ── y - silu(a) stop(y) ──> x'
        └── norm ── branch ───┘

Forward the stream is multiplied by 1 - silu(a); backward the gradient passes unchanged, so a smaller stream does not
mean a smaller gradient. The gate a starts at 0, where the rule is plain Pre-LN. Both branches of a block share one,
as in the authors' code (the paper draws one for each).

Source: Chen et al. 2025, "GPAS", arXiv 2506.22049.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pre import PreJoin
from .strategy import Block, Place, Strategy

__all__ = ["GPAS", "Gate", "GatedBlock"]


class Gate(nn.Module):
    """y - silu(a) * stop_gradient(y), any shape; a is a scalar, 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(()))

    def forward(self, y: Tensor) -> Tensor:
        return y - F.silu(self.a) * y.detach()


class GatedBlock(Block):
    """A block whose stream passes the gate after each of the two additions."""

    def __init__(self, attn: nn.Module, mlp: nn.Module, attn_join: PreJoin, mlp_join: PreJoin) -> None:
        super().__init__(attn, mlp, attn_join, mlp_join)
        self.gate = Gate()

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = self.gate(self.attn_join(x_BTD, self.attn))
        return self.gate(self.mlp_join(x_BTD, self.mlp))


def gpas_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    return GatedBlock(attn, mlp, PreJoin(place.norm()), PreJoin(place.norm()))


GPAS = Strategy(
    name="gpas",
    title="GPAS on Pre-LN",
    flow="y = x + F(N(x)); x' = y - silu(a) stop(y)",
    source="arXiv 2506.22049",
    block=gpas_block,
    placement="pre",
)
