"""Read parameters and their gradients at an optimizer step: norms of every site, the update's size, the total norm.

Read in the optimizer's post-hook: accumulation is complete, a GradScaler has unscaled, and weights have moved. Each
optimizer brings its own parameters; what none of them moved (frozen layers) is read when the step closes.
Shapes: P parameters, G parameter sites.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .accumulate import Accumulator
from .clipping import Clip
from .metrics import ParameterGroup
from .metrics._metric import spread
from .sites import Key

__all__ = ["ParameterReader"]

SAMPLED_ELEMENTS = 65_536
_GRAD, _WEIGHT, _UPDATE, _SAMPLE, _HAS_GRAD = range(5)


class ParameterReader:
    """Sums of squares by parameter, filled during a sampled step and pooled by site when it closes."""

    def __init__(
        self, model: nn.Module, groups: Mapping[Key, tuple[str, ...]], sums: Accumulator, device: torch.device
    ) -> None:
        named = dict(model.named_parameters())
        self._parameters = list(named.values())
        self._index = {id(p): i for i, p in enumerate(self._parameters)}
        self._sums = sums
        column = {name: i for i, name in enumerate(named)}
        member_GP = torch.zeros(len(groups), len(named), dtype=sums.dtype)
        for row, names in enumerate(groups.values()):
            member_GP[row, [column[name] for name in names]] = 1
        self._member_GP = member_GP.to(device)
        self._squares_5P = self._member_GP.new_zeros(5, len(named))
        self._before: dict[int, Tensor] = {}
        self._read: set[int] = set()

    def before_update(self, parameters: Iterable[Tensor]) -> None:
        """Remember a sample of these weights as they are before the optimizer moves them."""
        self._before.update({i: _sample(self._parameters[i]).clone() for i in self._mine(parameters)})

    def after_update(self, parameters: Iterable[Tensor], clips: Sequence[Clip]) -> None:
        """Read gradients, weights and updates of what one optimizer moved; clipping is undone by its factor."""
        mine = self._mine(parameters)
        self._read.update(mine)
        with_grad = [i for i in mine if self._parameters[i].grad is not None]
        self._fill(_GRAD, with_grad, [self._parameters[i].grad for i in with_grad])
        self._squares_5P[_HAS_GRAD, with_grad] = 1
        for clip in clips:
            hit = [i for i in with_grad if id(self._parameters[i]) in clip.parameters]
            self._squares_5P[_GRAD, hit] /= clip.factor.to(self._squares_5P).square()
        self._fill(_WEIGHT, mine, [self._parameters[i] for i in mine])
        moved = [i for i in mine if i in self._before]
        after = [_sample(self._parameters[i]).float() for i in moved]
        self._fill(_SAMPLE, moved, after)
        self._fill(_UPDATE, moved, [new - self._before[i].float() for new, i in zip(after, moved, strict=True)])
        self._before = {i: sample for i, sample in self._before.items() if i not in self._read}

    def finish(self) -> Tensor:
        """Pool the step by site; returns the total gradient norm before clipping, 0-d."""
        rest = [i for i in range(len(self._parameters)) if i not in self._read]
        self._fill(_WEIGHT, rest, [self._parameters[i] for i in rest])
        sums_5G = self._squares_5P @ self._member_GP.T
        self._sums.fill(ParameterGroup(*sums_5G))
        total = self._squares_5P[_GRAD].sum().sqrt()
        self.reset()
        return total

    def reset(self) -> None:
        """Forget the step."""
        self._squares_5P = torch.zeros_like(self._squares_5P)
        self._before, self._read = {}, set()

    def _mine(self, parameters: Iterable[Tensor]) -> list[int]:
        found = (self._index.get(id(p)) for p in parameters)
        return [i for i in found if i is not None and i not in self._read]

    def _fill(self, row: int, index: list[int], tensors: Sequence[Tensor | None]) -> None:
        """Sums of squares of `tensors` into row `row`, one fused pass over all of them."""
        present = [t.detach() for t in tensors if t is not None]
        if present:
            norms = torch._foreach_norm(present, 2.0, dtype=torch.float32)
            self._squares_5P[row, index] = torch.stack([n.to(self._squares_5P) for n in norms]).square()


def _sample(p: Tensor) -> Tensor:
    flat = p.detach().reshape(-1)
    return flat[spread(flat.numel(), SAMPLED_ELEMENTS, flat.device)]
