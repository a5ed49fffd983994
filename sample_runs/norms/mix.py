"""Mix-LN: the first floor(alpha L) blocks are Post-LN, the deeper ones Pre-LN.

    blocks 1 .. floor(alpha L)           the blocks after them
    x ──┬─────────── + ── norm ──> x'    x ──┬──────────────────── + ──> x'
        └── branch ──┘                       └── norm ── branch ───┘

Post-LN's gradients are large in deep blocks and Pre-LN's in early ones; mixed, they are more even over the depth.
alpha = 0 is Pre-LN and alpha = 1 is Post-LN. The papers use 0.25 up to 1B parameters.

Source: Li, Yin, Liu 2025, "Mix-LN", arXiv 2412.13795.
"""

from math import floor

from torch import nn

from .post import post_block
from .pre import pre_block
from .strategy import Block, Place, Strategy

__all__ = ["MIX", "mix"]

ROUNDING = 1e-9  # 0.58 of 50 blocks are 29, and 28.999999999999996 in floating point


def mix(alpha: float) -> Strategy:
    """The Mix-LN of this share of Post-LN blocks, `alpha` in [0, 1]."""

    def block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
        post_first = place.layer <= floor(alpha * place.layers + ROUNDING)
        return (post_block if post_first else pre_block)(place, attn, mlp)

    flow = f"N(x + F(x)) in the first {alpha:g} of the blocks, then x + F(N(x))"
    return Strategy(name="mix", title="Mix-LN", flow=flow, source="arXiv 2412.13795", block=block, placement="mix")


MIX = mix(0.25)
