"""What a metric is: a record that names it, and a function from one observation to a numerator and a weight.

Shapes: B sequences, T positions, D features, N = B*T tokens, Q sequences with at least one real token.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Metric",
    "Of",
    "Pair",
    "ParameterGroup",
    "Pool",
    "Pooled",
    "Tokens",
    "coprime_stride",
    "mean_over",
    "sampled_median",
    "weighted",
]

Pooled = tuple[Tensor, Tensor]
"""(numerator, weight), both 0-d: what one forward contributes to a metric."""


class Of(Enum):
    """What a metric looks at; decides the sites it is measured at."""

    ACTIVATION = "activation"
    GRADIENT = "gradient"
    PAIR = "pair"
    PARAMETER = "parameter"


class Pool(Enum):
    """How contributions of micro-batches and ranks become one number."""

    MEAN = "sum of numerators / sum of weights"
    SUM = "sum of numerators"
    MAX = "largest numerator"


@dataclass(frozen=True)
class Metric:
    """One measured quantity. `measure` takes the observation that belongs to `of` and returns its `Pooled` share."""

    name: str
    of: Of
    unit: str
    title: str
    formula: str
    source: str
    pool: Pool
    measure: Callable[[Any], Pooled]
    reduction: str


class Tokens:
    """The activations (or their gradient) of one site in one forward, flattened to tokens.

    `x_ND` is at least float32. `real_N` marks real tokens; `valid_N` those that are finite as well, and only they enter
    means, so that one NaN leaves the rest of the layer readable (it is counted by `nonfinite`).
    """

    def __init__(self, x_BTD: Tensor, real_BT: Tensor | None = None) -> None:
        x = x_BTD.detach()
        self.x_BTD = x if x.dim() == 3 else x.reshape(1, -1, x.shape[-1])
        self.x_ND = _wide(x.reshape(-1, x.shape[-1]))
        self._real = None if real_BT is None or real_BT.numel() != self.x_ND.shape[0] else real_BT.reshape(-1).bool()

    @cached_property
    def real_N(self) -> Tensor:
        return torch.ones_like(self.x_ND[:, 0], dtype=torch.bool) if self._real is None else self._real

    @cached_property
    def valid_N(self) -> Tensor:
        finite_N = self.abs_max_N.isfinite()
        return finite_N if self._real is None else finite_N & self._real

    @cached_property
    def count(self) -> Tensor:
        return self.valid_N.sum()

    @cached_property
    def abs_max_N(self) -> Tensor:
        """Largest magnitude of each token; NaN or Inf exactly where the token has one."""
        low_N, high_N = torch.aminmax(self.x_ND, dim=-1)
        return torch.maximum(high_N, -low_N)

    @cached_property
    def mean_square_N(self) -> Tensor:
        return self.square_ND.mean(-1)

    @cached_property
    def square_ND(self) -> Tensor:
        return self.x_ND.square()

    @cached_property
    def variance_N(self) -> Tensor:
        """Two-pass and biased: `ms - mean**2` loses all digits once the mean is large against the spread."""
        return (self.x_ND - self.x_ND.mean(-1, keepdim=True)).square().mean(-1)


class Pair:
    """The stream entering a block (or branch) and what is added to it, token by token.

    All geometry follows from three dot products a token. With d = out - in, cos and angle keep their digits for the
    nearly identical vectors of deep Pre-LN blocks, where arccos of a rounded cosine would return noise.
    """

    def __init__(self, in_BTD: Tensor, delta_BTD: Tensor, real_BT: Tensor | None = None) -> None:
        in_ND = _wide(in_BTD.detach().reshape(-1, in_BTD.shape[-1]))
        delta_ND = _wide(delta_BTD.detach().reshape(-1, delta_BTD.shape[-1]))
        self.sequences = in_BTD.shape[0] if in_BTD.dim() == 3 else 1
        self.in_square_N = _double((in_ND * in_ND).sum(-1))
        self.delta_square_N = _double((delta_ND * delta_ND).sum(-1))
        self.dot_N = _double((in_ND * delta_ND).sum(-1))
        self._real = None if real_BT is None or real_BT.numel() != in_ND.shape[0] else real_BT.reshape(-1).bool()

    @cached_property
    def valid_N(self) -> Tensor:
        finite_N = (self.in_square_N + self.delta_square_N).isfinite()
        return finite_N if self._real is None else finite_N & self._real

    @cached_property
    def angle_N(self) -> Tensor:
        """Angle between in and out in radians, [0, pi]; 0 where either is a zero vector."""
        along_N = self.in_square_N + self.dot_N
        across_N = (self.in_square_N * self.delta_square_N - self.dot_N.square()).clamp_min(0).sqrt()
        return torch.where(self._defined_N, torch.atan2(across_N, along_N), torch.zeros_like(along_N))

    @cached_property
    def _defined_N(self) -> Tensor:
        out_square_N = self.in_square_N + 2 * self.dot_N + self.delta_square_N
        return (self.in_square_N > 0) & (out_square_N > 0)

    @cached_property
    def last_Q(self) -> tuple[Tensor, Tensor]:
        """Index of each sequence's last real token, and whether the sequence has a valid one there."""
        valid_BT = self.valid_N.reshape(self.sequences, -1)
        real_BT = valid_BT if self._real is None else self._real.reshape(self.sequences, -1)
        tokens = real_BT.shape[1]
        steps_T = torch.arange(1, tokens + 1, device=real_BT.device)
        last_B = (torch.ones_like(real_BT) if self._real is None else real_BT).long().mul(steps_T).amax(-1) - 1
        index_B = last_B.clamp_min(0) + torch.arange(self.sequences, device=real_BT.device) * tokens
        return index_B, (last_B >= 0) & self.valid_N[index_B]


@dataclass(frozen=True)
class ParameterGroup:
    """0-d sums over the parameters of one site at one optimizer step."""

    grad_square: Tensor
    weight_square: Tensor
    sampled_update_square: Tensor
    sampled_weight_square: Tensor
    with_gradient: Tensor  # how many of the parameters had one: a frozen site has no gradient norm, not a zero one


def mean_over(value_N: Tensor, valid_N: Tensor) -> Pooled:
    """Sum of `value_N` over valid tokens, and their number."""
    return torch.where(valid_N, value_N, 0).sum(dtype=_accumulator(value_N)), valid_N.sum()


def sampled_median(x_ND: Tensor, valid_N: Tensor, *, magnitude: bool = False, elements: int = 65_536) -> Tensor:
    """Lower median of about `elements` entries (or magnitudes) of valid tokens, NaN when there are none: no sync.

    Sampled at a fixed stride.
    """
    stride = coprime_stride(x_ND.numel(), elements, x_ND.shape[-1])
    sample = x_ND.reshape(-1)[::stride]
    sample = sample.abs() if magnitude else sample
    token = torch.arange(0, x_ND.numel(), stride, device=x_ND.device) // x_ND.shape[-1]
    return torch.where(valid_N[token], sample, torch.nan).nanmedian()


def coprime_stride(numel: int, elements: int, width: int) -> int:
    """A stride that takes about `elements` of `numel`, sharing no factor with `width`: every channel is sampled."""
    stride = max(1, numel // elements)
    while math.gcd(stride, width) != 1:
        stride += 1
    return stride


def weighted(value: Tensor, count: Tensor) -> Pooled:
    """A statistic that does not pool exactly, weighted by its token count; nothing when there were no tokens."""
    return torch.where(count > 0, value, 0) * count, count


def _wide(x: Tensor) -> Tensor:
    """Half precision overflows in squares and loses sums; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _double(x: Tensor) -> Tensor:
    return x.to(_accumulator(x))


def _accumulator(x: Tensor) -> torch.dtype:
    """Apple's MPS has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64
