"""Dynamic Tanh: Pre-LN without norms; an elementwise squashing stands in their place.

    x ──┬──────────────────────────────────── + ──> x'        DyT(x) = gain * tanh(a x) + bias
        └── DyT ── branch ────────────────────┘

`a` is one learned scalar a layer, 0.5 at the start. No statistics are computed, so a token's scale is kept until tanh
saturates. As in the paper's language models the embedding has a learned scale, sqrt(D) at the start; with a small
embedding the first branches would read almost nothing.

Source: Zhu et al. 2025, "Transformers without Normalization", arXiv 2503.10622.
"""

from math import sqrt

import torch
from torch import Tensor, nn

from .pre import PreJoin
from .strategy import Block, Place, Strategy

__all__ = ["DYT", "DynamicTanh", "dyt"]


class DynamicTanh(nn.Module):
    """gain * tanh(a * x) + bias over the last axis of `width` features."""

    def __init__(self, width: int, a: float = 0.5) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(float(a)))
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.weight * torch.tanh(self.a * x_BTD) + self.bias


class EmbeddingScale(nn.Module):
    """One learned factor, sqrt(D) at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(sqrt(width)))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.scale * x_BTD


def dyt(attention: float = 0.5, other: float = 0.5) -> Strategy:
    """DyT with these starting values of `a` before attention, and before the MLP and the head."""

    def block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
        joins = (PreJoin(DynamicTanh(place.width, a)) for a in (attention, other))
        return Block(attn, mlp, *joins)

    return Strategy(
        name="dyt",
        title="Dynamic Tanh",
        flow="x + F(gain tanh(a x) + bias)",
        source="arXiv 2503.10622",
        block=block,
        enter=lambda place: EmbeddingScale(place.width),
        leave=lambda place: DynamicTanh(place.width, other),
        note="Has no norm: norm='rms' and norm='layer' build the same model.",
    )


DYT = dyt()
