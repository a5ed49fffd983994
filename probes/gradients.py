"""Read parameters and their gradients at an optimizer step: norms of every site, the update's size, the total norm.

Read in the optimizer's post-hook: accumulation is complete, a GradScaler has unscaled, and weights have moved. Each
optimizer brings its own parameters; what none of them moved (frozen layers) is read when the step closes. Sharded
parameters are read as this rank's parts, and the parts' squares are summed over ranks with everything else.
Shapes: P parameters, G parameter sites, M memberships of a parameter in a site.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .choice import STANDARD, Choice
from .clipping import Clip
from .distributed import gradient_of, local, shard_share
from .metrics import Of, ParameterGroup
from .sites import Key
from .weight_sample import each_stands_for, sampled

__all__ = ["ParameterReader"]

_GRAD, _WEIGHT, _UPDATE, _SAMPLE, _ASKING = range(5)
_BRANCHES = ("attn", "mlp")


class ParameterReader:
    """Norms by parameter, filled during a sampled step and pooled by site when it closes."""

    def __init__(
        self,
        model: nn.Module,
        groups: Mapping[Key, tuple[str, ...]],
        device: torch.device,
        choice: Choice = STANDARD,
    ) -> None:
        self._model, self._groups, self._device = model, groups, device
        self._metrics, self._elements = choice.of(Of.PARAMETER), choice.elements
        self._weighs = "param_norm" in choice.metrics
        self._samples = "update_ratio" in choice.metrics
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._foreign: set[int] = set()  # what optimizers move besides, by id
        self._load()

    @torch.no_grad()
    def _load(self) -> None:
        """Look the parameters up by name: sharding replaces them by others, between forwards too."""
        named = dict(self._model.named_parameters())
        self._parameters = list(named.values())
        self._index = {id(p): i for i, p in enumerate(self._parameters) if _has_norm(p)}
        column = {name: i for i, name in enumerate(named)}
        members = [(row, column[n]) for row, names in enumerate(self._groups.values()) for n in names if n in column]
        self._site_M, self._parameter_M = torch.tensor(members, dtype=torch.int64).view(-1, 2).T.to(self._device)
        share_P = torch.tensor([shard_share(p) for p in self._parameters], dtype=torch.float64)
        self._weight_5P = (_weights(self._parameters, self._elements) * share_P).to(self._dtype).to(self._device)
        self._zero, self._one = torch.zeros((), device=self._device), torch.ones((), device=self._device)
        self.reset()

    def reset(self) -> None:
        """Forget the step."""
        # Norms by parameter, 0-d. An index would have to be copied to the device, and the host would wait for that.
        self._norms: tuple[dict[int, Tensor], ...] = ({}, {}, {}, {}, {})
        self._before: dict[int, Tensor] = {}
        self._read: set[int] = set()

    @property
    def size(self) -> int:
        """How many numbers `take` gives."""
        return 5 * len(self._groups)

    @torch.no_grad()
    def before_update(self, parameters: Iterable[Tensor]) -> None:
        """Remember a sample of these weights as they are before the optimizer moves them."""
        moving = list(parameters)
        strange = {id(p) for p in moving} - self._index.keys() - self._foreign
        if strange and not self._read:
            self._load()
            self._foreign |= strange - self._index.keys()
        if self._samples:
            self._before.update({i: self._sample(i).clone() for i in self._mine(moving)})

    @torch.no_grad()
    def after_update(self, parameters: Iterable[Tensor], clips: Sequence[Clip]) -> None:
        """Read gradients, weights and updates of what one optimizer moved; clipping is undone by its factor."""
        mine = self._mine(parameters)
        self._read.update(mine)
        with_grad = [i for i in mine if self._parameters[i].grad is not None]
        self._fill(_GRAD, with_grad, [gradient_of(self._parameters[i]) for i in with_grad])
        # What asks for a gradient and gets none has one of 0: detached by mistake is not frozen on purpose.
        asking = [i for i in mine if self._parameters[i].requires_grad]
        self._norms[_ASKING].update(dict.fromkeys([*with_grad, *asking], self._one))
        for clip in clips:
            self._undo(clip, [i for i in with_grad if id(self._parameters[i]) in clip.parameters])
        if self._weighs:
            self._fill(_WEIGHT, mine, [self._parameters[i] for i in mine])
        moved = [i for i in mine if i in self._before]
        after = [self._sample(i).float() for i in moved]
        self._fill(_SAMPLE, moved, after)
        if moved:
            self._fill(_UPDATE, moved, torch._foreach_sub(after, [self._before[i].float() for i in moved]))
        self._before = {i: sample for i, sample in self._before.items() if i not in self._read}

    @torch.no_grad()
    def take(self) -> Tensor:
        """The step's sums of squares by site as one flat tensor on the device; starts again."""
        rest = [i for i in self._index.values() if self._weighs and i not in self._read]
        self._fill(_WEIGHT, rest, [self._parameters[i] for i in rest])
        flat = [norms.get(i, self._zero) for norms in self._norms for i in range(len(self._parameters))]
        squares_5P = torch.stack(flat).to(self._dtype).view(5, -1).square() * self._weight_5P
        self.reset()
        # No product with a matrix of zeros and ones: a NaN of one site would become everybody's.
        sums_5G = squares_5P.new_zeros(5, len(self._groups))
        return sums_5G.index_add_(1, self._site_M, squares_5P[:, self._parameter_M]).flatten()

    def read(self, flat: Sequence[float]) -> Iterator[tuple[Key, dict[str, float]]]:
        """Values by site from what `take` gave, on the host; a frozen site has no gradient norm."""
        group = ParameterGroup(*torch.tensor(flat, dtype=torch.float64).view(5, -1))
        values: dict[Key, dict[str, float]] = {key: {} for key in self._groups}
        for metric in self._metrics:
            numerator_G, weight_G = metric.measure(group)
            for key, numerator, weight in zip(self._groups, numerator_G.tolist(), weight_G.tolist(), strict=True):
                if weight:
                    values[key][metric.name] = numerator
        yield from ((key, found) for key, found in values.items() if found)

    def total_norm(self, flat: Sequence[float]) -> float:
        """Total gradient norm before clipping, from what `take` gave: over the sites that split the parameters."""
        whole = [square for key, square in zip(self._groups, flat, strict=False) if key[2] not in _BRANCHES]
        return math.sqrt(sum(whole))

    def _mine(self, parameters: Iterable[Tensor]) -> list[int]:
        found = (self._index.get(id(p)) for p in parameters)
        return [i for i in found if i is not None and i not in self._read]

    def _sample(self, index: int) -> Tensor:
        return sampled(self._parameters[index], self._elements)

    def _undo(self, clip: Clip, hit: list[int]) -> None:
        """Norms of gradients as they were before this clipping."""
        if hit:
            norms = torch._foreach_div([self._norms[_GRAD][i] for i in hit], clip.factor.to(self._zero))
            self._norms[_GRAD].update(zip(hit, norms, strict=True))

    def _fill(self, row: int, index: list[int], tensors: Sequence[Tensor | None]) -> None:
        """Norms of `tensors` into row `row`, one fused pass over all of them."""
        present = local(t for t in tensors if t is not None)
        if present:
            wide = torch.float64 if any(t.dtype is torch.float64 for t in present) else torch.float32
            norms = torch._foreach_norm(present, 2.0, dtype=wide)
            self._norms[row].update(zip(index, (n.to(self._device) for n in norms), strict=True))


def _weights(parameters: Sequence[Tensor], entries: int) -> Tensor:
    """`[5, P]` what a squared norm counts: as many entries as each stands for, where they are sampled."""
    weight_5P = torch.ones(5, len(parameters), dtype=torch.float64)
    stand_P = [each_stands_for(p, entries) for p in parameters]
    weight_5P[[_UPDATE, _SAMPLE]] = torch.tensor(stand_P, dtype=torch.float64)
    return weight_5P


def _has_norm(parameter: Tensor) -> bool:
    """Not what quantization packs into bytes."""
    return parameter.element_size() > 1 and (parameter.is_floating_point() or parameter.is_complex())
