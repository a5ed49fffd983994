"""PRepBN (SLAB): from a norm of each token to a batch norm that can be folded away, bit by bit during training.

    x ──┬─────────────────────────────────────────────────── + ──> x'
        └── lambda N(x) + (1 - lambda) RepBN(x) ── branch ───┘        RepBN(x) = BN(x) + eta x

lambda falls from 1 to 0 over `fade` training forwards, after `warm` with N alone; evaluation always uses RepBN alone,
whatever lambda is. BN takes its statistics per channel over all tokens of the batch. It starts with gain, bias and eta
of 0, as in the authors' language model: until N fades the branches of an evaluated model are off. (Their vision models
start with 1 and 1, which makes a Pre-LN stream explode.) The final norm is replaced too.

Statistics mix all tokens of a batch, future ones too: in training a position can see what comes after it. In evaluation
it cannot. `batch_mean_fluctuation` and `batch_var_fluctuation` hold the last distance of the batch's statistics from
the running ones. The schedule counts training forwards: micro-batches where gradients are accumulated.

Source: Guo et al. 2024, "SLAB", arXiv 2405.11582.
"""

import torch
from torch import Tensor, nn

from .pre import PreJoin
from .strategy import Block, Place, Strategy

__all__ = ["PREPBN", "PRepBN", "prepbn"]

EPS = 1e-5
MOMENTUM = 0.1


class PRepBN(nn.Module):
    """`[..., D] -> [..., D]`; changes its statistics and its schedule in training forwards only."""

    mean: Tensor
    var: Tensor
    seen: Tensor

    def __init__(self, norm: nn.Module, width: int, *, fade: int, warm: int = 0) -> None:
        super().__init__()
        self.norm, self.fade, self.warm = norm, fade, warm
        self.weight, self.bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.eta = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.batch_mean_fluctuation: Tensor | None = None
        self.batch_var_fluctuation: Tensor | None = None

    @property
    def share(self) -> float:
        """lambda, the share of the norm of each token at the next training forward."""
        return min(1.0, max(0.0, 1 - (int(self.seen) - self.warm) / self.fade))

    def forward(self, x_BTD: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return self._rep(x_BTD, self.mean, self.var)
        tokens = tuple(range(x_BTD.dim() - 1))
        mean_D, var_D = x_BTD.mean(tokens), x_BTD.var(tokens, correction=0)
        share = self.share
        y_BTD = share * self.norm(x_BTD) + (1 - share) * self._rep(x_BTD, mean_D, var_D)
        self._update(mean_D.detach(), var_D.detach())
        return y_BTD

    def _rep(self, x_BTD: Tensor, mean_D: Tensor, var_D: Tensor) -> Tensor:
        return self.weight * (x_BTD - mean_D) * (var_D + EPS).rsqrt() + self.bias + self.eta * x_BTD

    @torch.no_grad()
    def _update(self, mean_D: Tensor, var_D: Tensor) -> None:
        self.batch_mean_fluctuation = (mean_D - self.mean).norm() / len(mean_D)
        self.batch_var_fluctuation = (var_D - self.var).norm() / len(var_D)
        self.mean.lerp_(mean_D, MOMENTUM)
        self.var.lerp_(var_D, MOMENTUM)
        self.seen += 1

    @torch.no_grad()
    def as_batch_norm(self) -> tuple[Tensor, Tensor]:
        """Gain and bias, each `[D]`, of the plain batch norm that RepBN is, for the same running statistics."""
        return self.weight + self.eta * (self.var + EPS).sqrt(), self.bias + self.eta * self.mean

    @torch.no_grad()
    def as_affine(self) -> tuple[Tensor, Tensor]:
        """`a` and `c`, each `[D]`: the evaluated layer is a * x + c."""
        scale_D = self.weight * (self.var + EPS).rsqrt()
        return scale_D + self.eta, self.bias - scale_D * self.mean


def prepbn(fade: int, warm: int) -> Strategy:
    """PRepBN whose norm of each token fades over `fade` training forwards, after `warm` of it alone."""

    def norm(place: Place) -> nn.Module:
        return PRepBN(place.norm(), place.width, fade=fade, warm=warm)

    def block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
        return Block(attn, mlp, PreJoin(norm(place)), PreJoin(norm(place)))

    return Strategy(
        name="prepbn",
        title="PRepBN",
        flow="x + F(lambda N(x) + (1 - lambda) (BN(x) + eta x)), lambda from 1 to 0",
        source="arXiv 2405.11582",
        block=block,
        leave=norm,
        note=f"lambda falls over {fade} training forwards after {warm}. In training a batch's statistics leak the "
        "future; evaluation is causal and uses BN alone: before lambda has fallen its loss means little.",
    )


PREPBN = prepbn(fade=200, warm=50)
