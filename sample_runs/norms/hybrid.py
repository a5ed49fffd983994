"""HybridNorm: normalize inside attention (q, k and v), and after it: one norm feeds both the MLP and the stream.

    x ──┬────────────────────────────────── + ── norm ── z ──┬────────── + ──> x'
        └── attention(N(q), N(k), N(v)) ────┘                └── MLP ────┘

Attention reads the raw stream. Queries, keys and values are normalized by head, before the rotation by position. What
the MLP is added to is the normalized z. `hybrid-star` is HybridNorm*: its first block is a Pre-LN one on both branches
(with the norms inside attention).

Source: Zhuo et al. 2025, "HybridNorm", arXiv 2503.04598.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .pre import pre_block
from .qk import norm_heads
from .strategy import Block, Join, Place, Strategy

__all__ = ["HYBRID", "HYBRID_STAR", "NormedStreamJoin", "RawJoin"]


class RawJoin(Join):
    """No norm at all: x + f(x)."""

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return x_BTD + f(x_BTD)


class NormedStreamJoin(Join):
    """The branch reads, and is added to, the normalized stream."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        z_BTD = self.norm(x_BTD)
        return z_BTD + f(z_BTD)

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return self.norm(x_BTD), branch_BTD


def hybrid_block(place: Place, attn: Any, mlp: Any) -> Block:
    norm_heads(place, attn, "q_norm", "k_norm", "v_norm")
    return Block(attn, mlp, RawJoin(), NormedStreamJoin(place.norm()))


def star_block(place: Place, attn: Any, mlp: Any) -> Block:
    if place.layer > 1:
        return hybrid_block(place, attn, mlp)
    norm_heads(place, attn, "q_norm", "k_norm", "v_norm")
    return pre_block(place, attn, mlp)


HYBRID = Strategy(
    name="hybrid",
    title="HybridNorm",
    flow="y = x + F(x) with N(q), N(k), N(v); x' = N(y) + F(N(y))",
    source="arXiv 2503.04598",
    block=hybrid_block,
    note="Starts from the common initialization; the authors' own scales output matrices by 1/sqrt(2L).",
)
HYBRID_STAR = Strategy(
    name="hybrid-star",
    title="HybridNorm*",
    flow="block 1: x + F(N(x)); then as hybrid: y = x + F(x), x' = N(y) + F(N(y))",
    source="arXiv 2503.04598",
    block=star_block,
    note=HYBRID.note,
)
