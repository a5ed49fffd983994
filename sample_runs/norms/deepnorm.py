"""DeepNorm: Post-LN with a larger residual and smaller branches, for very deep models.

    x ──┬── times alpha ── + ── norm ──> x'        alpha = (2L)^(1/4)
        └──── branch ──────┘                       beta  = (8L)^(-1/4), gain of the initialization

alpha multiplies the stream, not the branch. Value, attention output and all MLP matrices start from Xavier's normal
distribution times beta, query and key from Xavier's with gain 1; L counts blocks. (Public code that fixes alpha = 2.83,
right for L = 32 only, or that takes (8L)^(+1/4), is not DeepNorm.)

Source: Wang et al. 2022, "DeepNet", arXiv 2203.00555, decoder-only row of its table.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy, rescale

__all__ = ["DEEPNORM", "DeepNormJoin", "alpha_beta"]


def alpha_beta(layers: int) -> tuple[float, float]:
    """The factor of the stream and the gain of the initialization, for a decoder of so many blocks."""
    return (2 * layers) ** 0.25, (8 * layers) ** -0.25


class DeepNormJoin(Join):
    def __init__(self, norm: nn.Module, alpha: float) -> None:
        super().__init__()
        self.norm, self.alpha = norm, alpha

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(self.alpha * x_BTD + f(x_BTD))

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return self.alpha * x_BTD, branch_BTD

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:.4f}"


def deepnorm_block(place: Place, attn: Any, mlp: Any) -> Block:
    alpha, beta = alpha_beta(place.layers)
    gains = {attn.q: 1.0, attn.k: 1.0, attn.v: beta, attn.out: beta, mlp.gate: beta, mlp.up: beta, mlp.down: beta}
    for matrix, gain in gains.items():
        xavier = gain * sqrt(2 / (matrix.in_features + matrix.out_features))
        rescale(matrix, xavier / place.std)
    return Block(attn, mlp, DeepNormJoin(place.norm(), alpha), DeepNormJoin(place.norm(), alpha))


DEEPNORM = Strategy(
    name="deepnorm",
    title="DeepNorm",
    flow="N((2L)^(1/4) x + F(x)), F starts with gain (8L)^(-1/4)",
    source="arXiv 2203.00555",
    block=deepnorm_block,
    placement="deepnorm",
)
