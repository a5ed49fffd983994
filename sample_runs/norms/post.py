"""Post-LN: normalize the stream after each branch is added.

    x ──┬─────────── + ── norm ──> x'
        └── branch ──┘

The stream has mean square 1 after every block, whatever the depth; in return the identity path is normalized 2L times,
so gradients shrink on their way to early blocks and training wants warm-up.

Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762.
"""

from collections.abc import Callable

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["POST", "PostJoin", "post_block"]


class PostJoin(Join):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(x_BTD + f(x_BTD))


def post_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    return Block(attn, mlp, PostJoin(place.norm()), PostJoin(place.norm()))


POST = Strategy(
    name="post", title="Post-LN", flow="N(x + F(x))", source="arXiv 1706.03762", block=post_block, placement="post"
)
