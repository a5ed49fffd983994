"""OLMo 2: normalize what a branch writes, not what it reads, and normalize queries and keys.

    x ──┬────────────────────── + ──> x'
        └── branch ── norm_out ─┘        attention(norm(q), norm(k), v)

The branch reads the raw stream: unlike Peri-LN there is no input norm. Queries and keys are normalized over all
features of the projection (not by head), before the rotation by position.

Source: OLMo team 2024, "2 OLMo 2 Furious", arXiv 2501.00656; the z-loss of that recipe is no part of the placement.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["OLMO2", "OutputJoin"]


class OutputJoin(Join):
    def __init__(self, norm_out: nn.Module) -> None:
        super().__init__()
        self.norm_out = norm_out

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return x_BTD + self.norm_out(f(x_BTD))

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return x_BTD, self.norm_out(branch_BTD)


def olmo2_block(place: Place, attn: Any, mlp: Any) -> Block:
    attn.q_norm, attn.k_norm = place.norm(), place.norm()
    return Block(attn, mlp, OutputJoin(place.norm()), OutputJoin(place.norm()))


OLMO2 = Strategy(
    name="olmo2",
    title="OLMo 2 (output norm, QK-norm)",
    flow="x + N(F(x)), with N(q) and N(k)",
    source="arXiv 2501.00656",
    block=olmo2_block,
    placement="output",
    note="Block 1 reads the embedding unnormalized: with an embedding std of 0.02 its branches start near zero.",
)
