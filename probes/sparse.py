"""Masks of sparse training as the probe sees them: density, flip rates and active parameters at sampled steps.

A mask is a buffer of its weight's shape beside it (`weight_mask` of torch.nn.utils.prune, `mask` of Adaptive Sparse
Trainer), or the exact zeros of a weight, which no optimizer leaves by itself. Zeros are looked for in a sample of every
matrix; only where there are some is every weight looked at, and the first and the last mask kept, a bit a weight each.
A matrix that is zero as a whole was initialised so and counts as dense. Weights that are sharded over ranks are not
looked at.

Scalars, read after the step's update, from the sampled step on at which a mask is first seen:
- `mask_density`: share of the prunable weights (matrices inside blocks) that is active;
- `mask_flip_rate`: share whose mask differs from that of the sampled step before (arXiv 2407.20584 compares updates of
  the mask: sample as often as it is updated to get the same);
- `mask_flip_rate_initial`: share whose mask differs from the first that was seen;
- `active_parameters`: all of the model's parameters, embeddings too, but the masked ones (arXiv 2501.12486). Exact
  zeros are first noticed in the sample, whose estimate stands in for that step; the step before has its row as well.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError, Scalar, Step

from .interventions.bits import flipped, pack
from .interventions.matrices import Matrix, chunks, prunable
from .sites import Sites

__all__ = ["MaskWatch"]

SAMPLED = 256  # weights of each matrix in which zeros are looked for
ENOUGH = 0.005  # of them, over all matrices: less is a weight that happens to be zero, not a mask
NOTICED, ACTIVE = "zero_weights", "active_parameters"

_Packed = list[list[Tensor]]  # of every matrix, of every chunk
_Buffer = tuple[nn.Module, str]


class MaskWatch:
    """Looks at the masks of one model. What `look` returns stays on the device: nothing waits for it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._matrices: tuple[Matrix, ...] = ()
        self._large: list[Matrix] = []
        self._share_M = torch.zeros(0)
        self._masks: list[_Buffer | None] = []  # what is kept beside each matrix
        self._sample: list[Tensor] = []  # of each large matrix: views, made again when the weights lie elsewhere
        self._lie: list[int] = []
        self._first: _Packed | None = None
        self._last: _Packed | None = None
        self._zeros = False  # the sample has shown some
        self._dense: float | None = None  # the last sampled step without a mask

    def look(self, sites: Sites) -> dict[str, Tensor]:
        """What to log of the step that is sampled now, 0-d each; nothing where no weight can be looked at."""
        if not all(place.name in place.module._parameters for m in self._matrices for place in m.places[:1]):
            self._matrices = ()  # pruning renames a parameter when it puts a mask beside it
        if not self._matrices:
            self._find(sites)
        if self._zeros or any(self._masks):
            return self._all([None if at is None else at[0]._buffers.get(at[1]) for at in self._masks])
        return {NOTICED: self._sampled_zeros()} if self._large else {}

    def told(self, rows: Iterable[Step | Scalar]) -> Iterator[Step | Scalar]:
        """The rows that are to be written, given those that were read: what the sample showed decides the next look."""
        for row in rows:
            if not isinstance(row, Scalar) or row.name not in (NOTICED, ACTIVE):
                yield row
            elif row.name == NOTICED and row.value <= ENOUGH:
                self._dense = row.step
            elif row.name == ACTIVE and self._last is None:  # the user's own
                yield row
            else:
                self._zeros = True
                if self._dense is not None:
                    yield Scalar(int(self._dense), ACTIVE, float(self._parameters()))
                    self._dense = None
                noticed = self._parameters() - row.value * self._total()
                yield row if row.name == ACTIVE else Scalar(row.step, ACTIVE, noticed)

    def _find(self, sites: Sites) -> None:
        """The matrices, without holding on to their weights, and those that are large enough to sample."""
        self._matrices = tuple(replace(m, weight=m.weight.to("meta")) for m in _found(self._model, sites))
        self._masks = [_buffer(matrix) for matrix in self._matrices]
        self._large = [matrix for matrix in self._matrices if matrix.numel >= SAMPLED]
        self._lie = []

    def _sampled_zeros(self) -> Tensor:
        """The estimated share of exact zeros, 0-d; matrices that are zero as a whole count as dense, tiny ones too."""
        lie = [_weight(matrix).data_ptr() for matrix in self._large]
        if lie != self._lie:
            self._lie, self._sample = lie, [_spread(_weight(matrix).detach()) for matrix in self._large]
            device, total = self._sample[0].device, self._total()
            # Filled one by one: copying a list to the device would wait for it.
            self._share_M = torch.stack([torch.full((), m.numel / total, device=device) for m in self._large])
        like = self._sample[0]
        zero_M = (torch.stack([view.to(like) for view in self._sample]) == 0).float().mean(1)
        return (torch.where(zero_M < 1, zero_M, 0) * self._share_M).sum()

    def _all(self, masks: list[Tensor | None]) -> dict[str, Tensor]:
        found: _Packed = []
        active = torch.zeros((), dtype=torch.int64, device=_weight(self._matrices[0]).device)
        for matrix, mask in zip(self._matrices, masks, strict=True):
            packed, count = _packed(matrix, mask)
            found.append(packed)
            active += count.to(active.device)
        total = self._total()
        first, last = self._first or found, self._last or found
        numbers = {
            "mask_density": active / total,
            "mask_flip_rate": _flips(found, last).to(active.device) / total,
            "mask_flip_rate_initial": _flips(found, first).to(active.device) / total,
            ACTIVE: self._parameters() - total + active,
        }
        self._first, self._last = first, found
        return numbers

    def _total(self) -> int:
        return sum(matrix.numel for matrix in self._matrices)

    def _parameters(self) -> int:
        return sum(p.numel() for p in self._model.parameters())


def _found(model: nn.Module, sites: Sites) -> tuple[Matrix, ...]:
    try:
        return prunable(model, sites)
    except DepthscopeError:
        return ()


def _weight(matrix: Matrix) -> Tensor:
    """The weight as it is now: moving a model to another device or type replaces it."""
    place = matrix.places[0]
    weight = place.module._parameters[place.name]
    assert weight is not None
    return weight


def _buffer(matrix: Matrix) -> _Buffer | None:
    """The mask that is kept beside the weight: its module and its name there."""
    place, shape = matrix.places[0], matrix.weight.shape
    names = {f"{place.name.removesuffix('_orig')}_mask", "mask"}
    beside = ((module, name, buffer) for module in place.module.modules() for name, buffer in module._buffers.items())
    return next(((m, name) for m, name, b in beside if name in names and b is not None and b.shape == shape), None)


def _spread(weight: Tensor) -> Tensor:
    """SAMPLED elements an odd number of places apart, so that they do not all lie in one column."""
    stride = weight.numel() // SAMPLED
    stride -= stride > 1 and stride % 2 == 0
    return weight.reshape(-1)[: SAMPLED * stride : stride]


def _packed(matrix: Matrix, mask: Tensor | None) -> tuple[list[Tensor], Tensor]:
    """Bits of what is active, and how many there are, 0-d."""
    source = _weight(matrix).detach() if mask is None else mask
    dense = torch.count_nonzero(source) == 0 if mask is None else False
    active = [((chunk_rC != 0) | dense).flatten() for chunk_rC in chunks(matrix, source)]
    return [pack(each) for each in active], torch.stack([each.sum() for each in active]).sum()


def _flips(masks: _Packed, others: _Packed) -> Tensor:
    device = masks[0][0].device
    pairs = ((a, b) for mask, other in zip(masks, others, strict=True) for a, b in zip(mask, other, strict=True))
    return torch.stack([flipped(a, b).to(device) for a, b in pairs]).sum()
