"""PowerNorm: Pre-LN whose norms divide each channel by its running root mean square over all tokens of the batch.

    x ──┬───────────────────────────────────────────── + ──> x'
        └── RMS of each token ── PowerNorm ── branch ──┘

    x^ = x / psi,   y = gain * x^ + bias,   psi^2 <- 0.9 psi^2 + 0.1 mean over tokens of x^2  (after use)

Backward, the paper's approximation is used with its running factor nu, divided by the same running psi as the forward:
dx = (g - nu x^) / psi,   nu <- nu (1 - 0.1 mean(x^ x^)) + 0.1 mean(g x^)   with g = gain * dy. (The authors' code
divides by the batch's own root mean square instead, which is not built here.) For the first `warmup` training forwards
the batch's statistics are used with their exact gradient, while the running ones are averaged from the start.

The scaling of each token before it, without parameters, is part of the layer the authors ship.

Statistics mix all tokens of a batch, future ones too: in training a position can see what comes after it. In evaluation
it cannot. `batch_var_fluctuation` holds the last distance of the batch's statistics from the running ones.

Source: Shen et al. 2020, "PowerNorm", arXiv 2003.07845.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .pre import PreJoin
from .strategy import Block, Place, Strategy

__all__ = ["POWER", "PowerNorm", "batch_power", "power", "running_power"]

KEEP = 0.9  # of the running statistics, forward and backward
EPS = 1e-5


class _RunningPower(torch.autograd.Function):
    """x / psi for fixed psi `[D]`, with the paper's approximate gradient; updates nu `[D]` as it goes backward."""

    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, psi_D: Tensor, nu_D: Tensor) -> Tensor:
        y_BTD = x_BTD / psi_D
        ctx.save_for_backward(y_BTD, psi_D)
        ctx.nu_D = nu_D
        return y_BTD

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g_BTD,) = grads
        y_BTD, psi_D = ctx.saved_tensors
        dx_BTD = (g_BTD - ctx.nu_D * y_BTD) / psi_D
        tokens = tuple(range(y_BTD.dim() - 1))
        power_D, along_D = y_BTD.square().mean(tokens), (g_BTD * y_BTD).mean(tokens)
        ctx.nu_D.mul_(1 - (1 - KEEP) * power_D).add_((1 - KEEP) * along_D)
        return dx_BTD, None, None


def running_power(x_BTD: Tensor, psi_D: Tensor, nu_D: Tensor) -> Tensor:
    """x / psi; its gradient is (g - nu x^) / psi, and nu is updated in place when it is computed."""
    return _RunningPower.apply(x_BTD, psi_D, nu_D)  # type: ignore[no-untyped-call]


def batch_power(x_BTD: Tensor, eps: float = EPS) -> Tensor:
    """PN-V: each channel over its root mean square in this batch, with the exact gradient."""
    return x_BTD * (x_BTD.square().mean(tuple(range(x_BTD.dim() - 1))) + eps).rsqrt()


class PowerNorm(nn.Module):
    """`[..., D] -> [..., D]`; changes its running statistics in training forwards only."""

    power: Tensor
    nu: Tensor
    seen: Tensor

    def __init__(self, width: int, warmup: int = 0, eps: float = EPS) -> None:
        super().__init__()
        self.warmup, self.eps = warmup, eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("power", torch.ones(width))
        self.register_buffer("nu", torch.zeros(width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.batch_var_fluctuation: Tensor | None = None

    def forward(self, x_BTD: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return self.weight * (x_BTD * (self.power + self.eps).rsqrt()) + self.bias
        warming = int(self.seen) < self.warmup
        psi_D = (self.power + self.eps).sqrt()
        y_BTD = batch_power(x_BTD, self.eps) if warming else running_power(x_BTD, psi_D, self.nu)
        self._update(x_BTD.detach(), warming)
        return self.weight * y_BTD + self.bias

    @torch.no_grad()
    def _update(self, x_BTD: Tensor, warming: bool) -> None:
        batch_D = x_BTD.square().mean(tuple(range(x_BTD.dim() - 1)))
        self.batch_var_fluctuation = (batch_D - self.power).norm() / len(batch_D)
        self.seen += 1
        keep = 1 - 1 / int(self.seen) if warming else KEEP
        self.power.mul_(keep).add_((1 - keep) * batch_D)


def power(warmup: int) -> Strategy:
    """PowerNorm with so many training forwards on batch statistics first."""

    def norm(place: Place) -> nn.Module:
        each_token = nn.RMSNorm(place.width, eps=EPS, elementwise_affine=False)
        return nn.Sequential(each_token, PowerNorm(place.width, warmup))

    def block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
        return Block(attn, mlp, PreJoin(norm(place)), PreJoin(norm(place)))

    return Strategy(
        name="power",
        title="PowerNorm",
        flow="x + F(P(RMS(x))), P divides channels by a running root mean square",
        source="arXiv 2003.07845",
        block=block,
        placement="pre",
        leave=norm,
        note="Backward as in the paper, not as in its code. In training a batch's statistics leak the future; "
        f"evaluation is causal. Batch statistics for {warmup} training forwards. Has its own norm: norm='rms' "
        "and norm='layer' build the same model.",
    )


POWER = power(warmup=50)
