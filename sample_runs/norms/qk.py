"""QK-norm: Pre-LN whose queries and keys are normalized too, so that attention logits cannot grow without bound.

    x ──┬──────────────────────────────────────────────────── + ──> x'
        └── norm ── attention(norm(q), norm(k), v) or MLP ────┘

Each head's query and key are normalized over the head's own features, before the rotation by position; one gain a layer
is shared by the heads. The logits are then at most sqrt(K) times the gains, for heads of width K.

Source: Dehghani et al. 2023, "Scaling Vision Transformers to 22 Billion Parameters", arXiv 2302.05442.
"""

from typing import Any

from torch import Tensor, nn

from .pre import pre_block
from .strategy import Block, Place, Strategy

__all__ = ["QK", "HeadNorm", "norm_heads"]


class HeadNorm(nn.Module):
    """Normalizes each head's share of the features, `[B, T, H * K] -> [B, T, H * K]`."""

    def __init__(self, norm: nn.Module, heads: int) -> None:
        super().__init__()
        self.norm, self.heads = norm, heads

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.norm(x_BTD.view(*x_BTD.shape[:-1], self.heads, -1)).flatten(-2)


def norm_heads(place: Place, attn: Any, *names: str) -> None:
    """Puts a norm of each head behind these projections of the attention (`q_norm`, `k_norm`, `v_norm`)."""
    for name in names:
        setattr(attn, name, HeadNorm(place.norm(place.width // attn.heads), attn.heads))


def qk_block(place: Place, attn: Any, mlp: Any) -> Block:
    norm_heads(place, attn, "q_norm", "k_norm")
    return pre_block(place, attn, mlp)


QK = Strategy(
    name="qk",
    title="Pre-LN with QK-norm",
    flow="x + F(N(x)), with N(q) and N(k) by head",
    source="arXiv 2302.05442",
    block=qk_block,
    placement="pre",
)
