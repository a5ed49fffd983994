"""Pre-LN with scaled initialization: what writes to the stream starts smaller by 1/sqrt(2L).

    x ──┬────────────────────────────────────── + ──> x'
        └── norm ── branch (W_out / sqrt(2L)) ──┘

After 2L additions the stream has then the variance that one unscaled branch would give it, at any depth. Only the
initialization differs from Pre-LN: the attention's output matrix and the MLP's down matrix.

Source: Radford et al. 2019 (GPT-2); with equations in Takase et al. 2023, "Spike No More", arXiv 2312.16903.
"""

from math import sqrt
from typing import Any

from .pre import pre_block
from .strategy import Block, Place, Strategy, rescale

__all__ = ["PRE_SCALED"]


def prescaled_block(place: Place, attn: Any, mlp: Any) -> Block:
    for writer in (attn.out, mlp.down):
        rescale(writer, 1 / sqrt(2 * place.layers))
    return pre_block(place, attn, mlp)


PRE_SCALED = Strategy(
    name="pre-scaled",
    title="Pre-LN with scaled init",
    flow="x + F(N(x)), output matrices start at 1 / sqrt(2L)",
    source="arXiv 2312.16903",
    block=prescaled_block,
    placement="pre",
)
