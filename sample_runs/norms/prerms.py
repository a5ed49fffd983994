"""Pre-RMSNorm and Pre-CRMSNorm: Pre-LN with LayerNorm, written so that no mean has to be subtracted.

    x ──┬───────────────────────────────── + ──> x'        mean of x over the features: 0
        └── RMS ── branch ── minus mean ───┘

LayerNorm ignores the mean of what it reads, so everything that writes to the stream may as well write without one; then
RMSNorm is LayerNorm. The output matrices are centred inside the forward, so training is the training of Pre-LN too:
same loss, same gradients. Plain RMSNorm without the centring (`pre` with norm="rms") is another model.

`pre-crms` also leaves the last feature of the stream away, since it is minus the sum of the others: D - 1 features are
kept, and CRMS divides by the root mean square of all D. Between norm and branch the last feature comes back, so that
branches and their weights have their usual shape.

Source: Jiang et al. 2023, "Pre-RMSNorm and Pre-CRMSNorm Transformers", arXiv 2305.14858.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from .pre import PreJoin
from .strategy import Block, Place, Strategy

__all__ = ["PRE_CRMS", "PRE_RMS", "CRMSNorm", "Centre", "RMSNorm", "centred", "crms", "restore"]

EPS = 1e-6


def centred(x: Tensor, axis: int = -1) -> Tensor:
    """x without its mean over this axis."""
    return x - x.mean(axis, keepdim=True)


def crms(x_K: Tensor, eps: float = EPS) -> Tensor:
    """The last axis holds K of K + 1 numbers whose sum is 0; divides them by the root mean square of all K + 1."""
    total = x_K.square().sum(-1, keepdim=True) + x_K.sum(-1, keepdim=True).square()
    return x_K * (total / (x_K.shape[-1] + 1) + eps).rsqrt()


def restore(x_K: Tensor) -> Tensor:
    """Adds the number that was left away: minus the sum of the others."""
    return torch.cat((x_K, -x_K.sum(-1, keepdim=True)), -1)


class RMSNorm(nn.Module):
    """RMS(x) with the gain, and where there is one the bias, of a LayerNorm of `width` features."""

    def __init__(self, width: int, eps: float = EPS, bias: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def normalized(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]`, before gain and bias."""
        return F.rms_norm(x_BTD, x_BTD.shape[-1:], eps=self.eps)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD = self.weight * self.normalized(x_BTD)
        return y_BTD if self.bias is None else y_BTD + self.bias


class CRMSNorm(RMSNorm):
    """From the `width - 1` features of the stream to the `width` a branch reads."""

    def normalized(self, x_BTD: Tensor) -> Tensor:
        return restore(crms(x_BTD, self.eps))


class Centre(nn.Module):
    """A tensor without its mean over `axis`; with `drop`, also without its last entry there."""

    def __init__(self, axis: int = -1, drop: bool = False) -> None:
        super().__init__()
        self.axis, self.drop = axis, drop

    def forward(self, x: Tensor) -> Tensor:
        x = centred(x, self.axis)
        return x.narrow(self.axis, 0, x.shape[self.axis] - 1) if self.drop else x


def _strategy(name: str, title: str, norm: type[RMSNorm], drop: bool) -> Strategy:
    def block(place: Place, attn: Any, mlp: Any) -> Block:
        for writer in (attn.out, mlp.down):
            for tensor in [name for name, _ in writer.named_parameters()]:
                register_parametrization(writer, tensor, Centre(0, drop), unsafe=drop)
        return Block(attn, mlp, PreJoin(norm(place.width)), PreJoin(norm(place.width)))

    return Strategy(
        name=name,
        title=title,
        flow="x + C F(N(x)), C subtracts the mean" + (", last feature left away" if drop else ""),
        source="arXiv 2305.14858",
        block=block,
        placement="pre",
        enter=lambda place: Centre(-1, drop),
        leave=lambda place: norm(place.width),
        note="The same function, loss and gradients as pre with norm='layer'; norm='rms' changes nothing here. PyTorch "
        "pickles such parametrized models through their state_dict only.",
    )


PRE_RMS = _strategy("pre-rms", "Pre-RMSNorm", RMSNorm, drop=False)
PRE_CRMS = _strategy("pre-crms", "Pre-CRMSNorm", CRMSNorm, drop=True)
