"""Keel: Post-LN with a wide residual, and a norm on what the branch reads.

    x ──┬── times alpha ────────── + ── norm ──> x'        alpha = 2L, the number of sub-layers
        └── norm_in ── branch ─────┘

The weight alpha of the stream keeps the gradient of the identity path alive through all the norms; it is fixed, and
there is no special initialization.

Source: Chen, Wei 2026, "Post-LayerNorm Is Back", arXiv 2601.19895.
"""

from collections.abc import Callable

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["KEEL", "KeelJoin"]


class KeelJoin(Join):
    def __init__(self, norm_in: nn.Module, norm: nn.Module, alpha: float) -> None:
        super().__init__()
        self.norm_in, self.norm, self.alpha = norm_in, norm, alpha

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(self.alpha * x_BTD + f(self.norm_in(x_BTD)))

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return self.alpha * x_BTD, branch_BTD

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"


def keel_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    alpha = 2.0 * place.layers
    attn_join, mlp_join = (KeelJoin(place.norm(), place.norm(), alpha) for _ in range(2))
    return Block(attn, mlp, attn_join, mlp_join)


KEEL = Strategy(
    name="keel",
    title="Keel",
    flow="N(2L x + F(N(x)))",
    source="arXiv 2601.19895",
    block=keel_block,
    note="The rule is the same for every sub-layer here; variants that treat the first one apart are not built.",
)
