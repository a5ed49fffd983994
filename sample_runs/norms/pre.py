"""Pre-LN: normalize what a branch reads; the stream itself is never normalized.

    x ──┬──────────────────── + ──> x'
        └── norm ── branch ───┘

Every block adds to the stream, so its variance grows with depth (linearly at initialization) while deep blocks read an
input of constant size: each moves the stream relatively less.

Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", arXiv 2002.04745.
"""

from collections.abc import Callable

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["PRE", "PreJoin", "pre_block"]


class PreJoin(Join):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return x_BTD + f(self.norm(x_BTD))


def pre_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    return Block(attn, mlp, PreJoin(place.norm()), PreJoin(place.norm()))


PRE = Strategy(
    name="pre", title="Pre-LN", flow="x + F(N(x))", source="arXiv 2002.04745", block=pre_block, placement="pre"
)
