"""LayerNorm Scaling: Pre-LN whose norm's output is divided by the square root of the block's number.

    x ──┬──────────────────────────────────────── + ──> x'
        └── norm ── times 1/sqrt(l) ── branch ────┘

Both branches of block l (counted from 1) use the same fixed factor, after the norm's own gain; the final norm is not
scaled. The l-th block's share of the variance falls like 1/l, so the stream grows like the harmonic numbers.

`lns` is the paper's rule with a fixed factor. `lns-learnable` is what other code calls LNS: no factor, but a norm gain
that starts at 1/sqrt(l) and learns. Both start as the same function and train differently. Neither is to be combined
with an initialization of the output matrices that shrinks with depth (the paper's Table 4).

Source: Sun et al. 2025, "The Curse of Depth in Large Language Models", arXiv 2502.05795.
"""

from collections.abc import Callable
from math import sqrt

from torch import Tensor, nn

from .pre import PreJoin
from .strategy import Block, Join, Place, Strategy

__all__ = ["LNS", "LNS_LEARNABLE", "ScaledJoin", "lns_block"]


class ScaledJoin(Join):
    def __init__(self, norm: nn.Module, scale: float) -> None:
        super().__init__()
        self.norm, self.scale = norm, scale

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return x_BTD + f(self.norm(x_BTD) * self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale:.4f}"


def lns_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    scale = 1 / sqrt(place.layer)
    return Block(attn, mlp, ScaledJoin(place.norm(), scale), ScaledJoin(place.norm(), scale))


def learnable_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    norms = place.norm(), place.norm()
    for norm in norms:
        assert isinstance(norm.weight, nn.Parameter)
        nn.init.constant_(norm.weight, 1 / sqrt(place.layer))
    return Block(attn, mlp, PreJoin(norms[0]), PreJoin(norms[1]))


LNS = Strategy(
    name="lns",
    title="LayerNorm Scaling",
    flow="x + F(N(x) / sqrt(l))",
    source="arXiv 2502.05795",
    block=lns_block,
    placement="lns",
)
LNS_LEARNABLE = Strategy(
    name="lns-learnable",
    title="LayerNorm Scaling, learnable",
    flow="x + F(N(x)), gain of N starts at 1 / sqrt(l)",
    source="arXiv 2506.22049",
    block=learnable_block,
    placement="pre",
    note="The variant in the code of GPAS (the source named here); the paper of LayerNorm Scaling has a fixed factor.",
)
