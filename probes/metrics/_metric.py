"""What a metric is: a record that names it, and a function from one observation to a numerator and a weight.

Shapes: B sequences, T positions, D features, N = B*T tokens, Q sequences with at least one real token.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "SAMPLED",
    "BatchStatistics",
    "Gradients",
    "Metric",
    "Of",
    "Pair",
    "ParameterGroup",
    "Pool",
    "Pooled",
    "Tokens",
    "mean_over",
    "sampled_median",
    "spread",
    "weighted",
]

SAMPLED = 4_096
"""Entries that a sampled statistic reads at most: a median of so many is right to about 2 %."""

Pooled = tuple[Tensor, Tensor]
"""(numerator, weight), both 0-d: what one forward contributes to a metric."""


class Of(Enum):
    """What a metric looks at; decides the sites it is measured at."""

    ACTIVATION = "activation"
    GRADIENT = "gradient"
    PAIR = "pair"
    PARAMETER = "parameter"
    BATCH = "batch"


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
    """The activations of one site in one forward, flattened to tokens, with what several metrics need of them.

    `x_ND` is at least float32. `real_N` marks real tokens; `valid_N` those that are finite as well, and only they enter
    means, so that one NaN leaves the rest of the layer readable (it is counted by `nonfinite`). `elements`: how many
    entries sampled statistics read at most.
    """

    def __init__(self, x_BTD: Tensor, real_BT: Tensor | None = None, elements: int = SAMPLED) -> None:
        self.elements = elements
        x = x_BTD.detach()
        self.x_BTD = x if x.dim() == 3 else x.flatten(0, -3) if x.dim() > 3 else x.unsqueeze(0)
        self.x_ND = _wide(x.reshape(-1, x.shape[-1]))
        low_N, high_N = torch.aminmax(self.x_ND, dim=-1)
        self.abs_max_N = torch.maximum(high_N, -low_N)  # NaN or Inf exactly where the token has one
        self.valid_N = self.abs_max_N.isfinite()
        self.real_N = _mask_of(real_BT, self.valid_N)
        self.valid_N = self.valid_N & self.real_N
        self.count = self.valid_N.sum()
        self.square_ND = self.x_ND.square()
        self.mean_square_N = self.square_ND.mean(-1)
        # Two-pass and biased: ms - mean² loses all digits once the mean is large against the spread.
        self.variance_N = (self.x_ND - self.x_ND.mean(-1, keepdim=True)).square().mean(-1)


class Gradients:
    """The gradient of the loss with respect to the activations of one site, flattened to tokens: their norms."""

    def __init__(self, grad_BTD: Tensor, real_BT: Tensor | None = None) -> None:
        grad = grad_BTD.detach()
        norm_BT: Tensor = torch.linalg.vector_norm(grad, dim=-1, dtype=_wide_type(grad.dtype))
        self.norm_N, self.real_BT = norm_BT.flatten(), real_BT

    @property
    def valid_N(self) -> Tensor:
        """Which norms count: finite, of a real token."""
        finite_N: Tensor = self.norm_N.isfinite()
        if self.real_BT is None or self.real_BT.numel() != self.norm_N.shape[-1]:
            return finite_N
        return finite_N & self.real_BT.flatten().bool()

    @classmethod
    def stacked(cls, gradients: "Sequence[Gradients]") -> "Gradients":
        """S sites with the same tokens as one: `norm_N` is `[S, N]`, and what a metric makes of it `[S]`."""
        together = cls.__new__(cls)
        together.norm_N = torch.stack([one.norm_N for one in gradients])
        together.real_BT = gradients[0].real_BT
        return together


class Pair:
    """The stream entering a block (or branch) and what is added to it, token by token.

    All geometry follows from three dot products a token. With d = out - in, cos and angle keep their digits for the
    nearly identical vectors of deep Pre-LN blocks, where arccos of a rounded cosine would return noise.
    """

    def __init__(self, in_BTD: Tensor, delta_BTD: Tensor, real_BT: Tensor | None = None) -> None:
        in_ND = _wide(in_BTD.detach().reshape(-1, in_BTD.shape[-1]))
        delta_ND = _wide(delta_BTD.detach().reshape(-1, delta_BTD.shape[-1]))
        self.sequences = math.prod(in_BTD.shape[:-2])
        self.in_square_N = _double((in_ND * in_ND).sum(-1))
        self.delta_square_N = _double((delta_ND * delta_ND).sum(-1))
        self.dot_N = _double((in_ND * delta_ND).sum(-1))
        self.real_N = _mask_of(real_BT, self.dot_N)
        self.valid_N = (self.in_square_N + self.delta_square_N).isfinite() & self.real_N
        self.angle_N = self._angles()

    def _angles(self) -> Tensor:
        """Angle between in and out in radians, [0, pi]; 0 where either is a zero vector."""
        along_N = self.in_square_N + self.dot_N
        across_N = (self.in_square_N * self.delta_square_N - self.dot_N.square()).clamp_min(0).sqrt()
        out_square_N = self.in_square_N + 2 * self.dot_N + self.delta_square_N
        defined_N = (self.in_square_N > 0) & (out_square_N > 0)
        return torch.where(defined_N, torch.atan2(across_N, along_N), torch.zeros_like(along_N))

    def last(self) -> tuple[Tensor, Tensor]:
        """`[B]` index of each sequence's last real token, and whether it has one and that is finite."""
        real_BT = self.real_N.reshape(self.sequences, -1)
        length = real_BT.shape[1]
        place_T = torch.arange(1, length + 1, device=real_BT.device)
        last_B = (real_BT * place_T).amax(-1) - 1
        index_B = last_B.clamp_min(0) + torch.arange(self.sequences, device=real_BT.device) * length
        return index_B, (last_B >= 0) & self.valid_N[index_B]


@dataclass(frozen=True)
class ParameterGroup:
    """Sums over the parameters of each of G sites at one optimizer step, `[G]` each."""

    grad_square: Tensor
    weight_square: Tensor
    sampled_update_square: Tensor
    sampled_weight_square: Tensor
    asking: Tensor
    """How many parameters ask for a gradient and are an optimizer's: a frozen site has no gradient norm, one that
    is cut off has one of 0."""


@dataclass(frozen=True)
class BatchStatistics:
    """What a norm over the batch sees in one training forward, `[D]` each, and what it has kept until then.

    `spread` is the biased variance, of PowerNorm the mean square, which has no mean.
    """

    mean_D: Tensor | None
    spread_D: Tensor
    running_mean_D: Tensor | None
    running_spread_D: Tensor


def mean_over(value_N: Tensor, valid_N: Tensor) -> Pooled:
    """Sum of `value_N` over valid tokens, and their number; over the last axis where there are more."""
    return torch.where(valid_N, value_N, 0).sum(-1, dtype=_accumulator(value_N)), valid_N.sum(-1)


def sampled_median(x_ND: Tensor, valid_N: Tensor, elements: int, *, magnitude: bool = False) -> Tensor:
    """Lower median of about `elements` entries (or magnitudes) of valid tokens, NaN when there are none: no sync."""
    index = spread(x_ND.numel(), elements, x_ND.device)
    sample = x_ND.reshape(-1)[index]
    sample = sample.abs() if magnitude else sample
    return torch.where(valid_N[index // x_ND.shape[-1]], sample, torch.nan).nanmedian()


def spread(numel: int, elements: int, device: torch.device) -> Tensor:
    """Indices of at most `elements` out of `numel` entries, one from each equal stretch, at varying places in it.

    A fixed stride that shares a factor with D would see only some channels. No number is read from `numel` (it is
    symbolic where shapes are dynamic).
    """
    if numel <= elements:
        return torch.arange(numel, device=device)
    stretch = numel // elements
    at = torch.arange(elements, device=device)
    return at * stretch + (at * 7_919) % stretch


def weighted(value: Tensor, count: Tensor) -> Pooled:
    """A statistic that does not pool exactly, weighted by its token count; nothing when there were no tokens."""
    return torch.where(count > 0, value, 0) * count, count


def _mask_of(real_BT: Tensor | None, like_N: Tensor) -> Tensor:
    """`[N]` real tokens; all where there is no mask, or where it is of another shape than this site's tokens."""
    if real_BT is None or real_BT.numel() != like_N.numel():
        return torch.ones_like(like_N, dtype=torch.bool)
    return real_BT.reshape(-1).bool()


def _wide_type(dtype: torch.dtype) -> torch.dtype:
    """Half precision overflows in squares and loses sums; float32 and float64 stay as they are."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _wide(x: Tensor) -> Tensor:
    return x.to(_wide_type(x.dtype))


def _double(x: Tensor) -> Tensor:
    return x.to(_accumulator(x))


def _accumulator(x: Tensor) -> torch.dtype:
    """Apple's MPS has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64
