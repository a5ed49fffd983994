"""What preflight tells of a model: records, and the few statistics they hold.

Shapes: B sequences, T tokens, D features.
"""

from dataclasses import dataclass, field
from math import inf, log2

import torch
from torch import Tensor

__all__ = ["LayerCheck", "Preflight", "Tally", "absorbed_share", "headroom_bits"]

FP16_MAX = 65504.0


@dataclass(frozen=True)
class LayerCheck:
    """One block at initialization; None where the model does not show it. Shares are in [0, 1]."""

    layer: int
    variance: float
    """Of the stream after the block: over features, mean over tokens."""
    mean_square: float
    theory: float | None
    """The mean square that the strategy's theory predicts."""
    abs_max: float
    act_grad_norm: float | None
    """Mean over tokens of the gradient's norm at the block's output, for the sum of the tokens' losses."""
    param_grad_norm: float | None
    """Of all parameters of the block, for the mean loss."""
    raw_max: float | None
    """Largest magnitude that attention or MLP puts out, before an output norm."""
    attn_absorbed: float | None
    """Share of the attention's updates below half a bf16 step of the stream they are added to: bf16 drops them."""
    mlp_absorbed: float | None


@dataclass(frozen=True)
class Preflight:
    """One model at initialization."""

    name: str
    title: str
    loss: float
    start: float
    """Mean square of the stream as it enters block 1."""
    layers: tuple[LayerCheck, ...]

    @property
    def growth(self) -> float:
        """Mean square after the last block over that after the first."""
        return ratio(self.layers[-1].mean_square, self.layers[0].mean_square)

    @property
    def gradient_skew(self) -> float | None:
        """Mean parameter gradient norm of the deeper half over that of the other, block 1 excluded where it can be."""
        norms = [layer.param_grad_norm for layer in self.layers[1:] or self.layers]
        known = [norm for norm in norms if norm is not None]
        half = len(known) // 2
        if len(known) < len(norms) or half == 0 or sum(known) == 0:
            return None
        return ratio(sum(known[-half:]), sum(known[:half]))

    @property
    def stream_bits(self) -> float:
        """Factors of 2 between the stream's largest magnitude and the largest fp16 number."""
        return headroom_bits(max(layer.abs_max for layer in self.layers))

    @property
    def raw_bits(self) -> float | None:
        """The same for what the branches put out."""
        known = [layer.raw_max for layer in self.layers if layer.raw_max is not None]
        return headroom_bits(max(known)) if known else None

    def absorbed(self, share: float) -> float | None:
        """Mean of both branches' absorbed shares at this relative depth in [0, 1]."""
        layer = self.layers[round(share * (len(self.layers) - 1))]
        known = [s for s in (layer.attn_absorbed, layer.mlp_absorbed) if s is not None]
        return sum(known) / len(known) if known else None


@dataclass
class Tally:
    """What hooks have seen of one block so far; `added` is the sum of the mean squares of its updates."""

    stream: Tensor | None = None
    raw_max: float | None = None
    absorbed: dict[str, float | None] = field(default_factory=dict)
    added: float = 0.0
    act_grad_norm: float | None = None
    squared_grad: float = 0.0

    def saw_branch(self, kind: str, raw: Tensor, carried: Tensor, update: Tensor) -> None:
        self.saw_raw(raw)
        self.absorbed[kind] = absorbed_share(carried, update)
        self.added += update.detach().square().mean().item()

    def saw_raw(self, raw: Tensor) -> None:
        self.raw_max = max(self.raw_max or 0.0, raw.detach().abs().max().item())

    def check(self, layer: int, theory: float | None, grads: bool = True) -> LayerCheck:
        """The record; the stream must have been seen."""
        assert self.stream is not None
        x_BTD = self.stream.detach().float()
        return LayerCheck(
            layer=layer,
            variance=x_BTD.var(-1, correction=0).mean().item(),
            mean_square=x_BTD.square().mean().item(),
            theory=theory,
            abs_max=x_BTD.abs().max().item(),
            act_grad_norm=self.act_grad_norm,
            param_grad_norm=self.squared_grad**0.5 if grads else None,
            raw_max=self.raw_max,
            attn_absorbed=self.absorbed.get("attn"),
            mlp_absorbed=self.absorbed.get("mlp"),
        )


@torch.no_grad()
def absorbed_share(carried: Tensor, update: Tensor) -> float | None:
    """Share of the entries of `update` that are below half a bf16 step of `carried`; None where no entry is but 0.

    bf16 keeps 8 significant bits: at m 2^E with m in [1/2, 1) its step is 2^(E - 8).
    """
    moved = update != 0
    if not moved.any():
        return None
    exponent = torch.frexp(carried.float()).exponent
    half_step = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent - 9)
    lost = (update.float().abs() < half_step) & (carried != 0) & moved
    return (lost.sum() / moved.sum()).item()


def headroom_bits(abs_max: float) -> float:
    return log2(FP16_MAX / abs_max) if 0 < abs_max < inf else (inf if abs_max == 0 else -inf)


def ratio(above: float, below: float) -> float:
    return above / below if below else inf
