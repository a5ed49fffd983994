"""Masks of a bit a weight: the smallest scores of all, or all but N in every group of M.

Shapes: R output features, C input features, r rows of a chunk.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from depthscope.store import DepthscopeError

from .bits import pack, unpack
from .matrices import Matrix, chunks
from .ranking import Inputs, Ranking
from .thresholds import Threshold, as_bits, thresholds

__all__ = ["Cut", "Mask", "apply", "cut_masks", "find_cuts", "group_masks"]


@dataclass(frozen=True)
class Cut:
    """Where one sparsity cuts the scores: a threshold for all matrices together, or one for each."""

    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True)
class Mask:
    """What is pruned of one matrix: a bit a weight, chunk by chunk, and how many bits are set."""

    packed: tuple[Tensor, ...]
    pruned: int

    @property
    def nbytes(self) -> int:
        return sum(bits.nbytes for bits in self.packed)


def find_cuts(
    matrices: Sequence[Matrix], ranking: Ranking, inputs: Inputs, sparsities: Sequence[float], *, scope: str
) -> list[Cut]:
    """For each sparsity the scores below which exactly round(sparsity * n) weights are pruned; nested.

    n counts all matrices where `scope` is 'global', each of them where it is 'matrix'.
    """
    groups = [list(matrices)] if scope == "global" else [[matrix] for matrix in matrices]
    found = [_thresholds_of(group, ranking, inputs, sparsities) for group in groups]
    return [Cut(tuple(each)) for each in zip(*found, strict=True)]


def cut_masks(matrices: Sequence[Matrix], ranking: Ranking, inputs: Inputs, cut: Cut) -> list[Mask]:
    """The masks of a cut, in order of `matrices`. Ties fall in the order of the matrices, then of their rows."""
    groups = [list(matrices)] if len(cut.thresholds) < len(matrices) else [[matrix] for matrix in matrices]
    found = zip(groups, cut.thresholds, strict=True)
    return [mask for group, threshold in found for mask in _below(group, ranking, inputs, threshold)]


def group_masks(matrices: Sequence[Matrix], ranking: Ranking, inputs: Inputs, pattern: str) -> list[Mask]:
    """The masks that keep the N largest of every M weights in a row along the input axis, for pattern 'N:M'.

    What is left at a row's end when C is not a multiple of M is kept. Of equal scores the first is kept.
    """
    kept, _, size = pattern.partition(":")
    if not (kept.isdecimal() and size.isdecimal() and 0 < int(kept) < int(size)):
        raise DepthscopeError(f"expected a pattern N:M that keeps N of M weights, like 2:4, got {pattern[:20]!r}")
    return [
        _mask(_outranked(score_rC, int(kept), int(size)) for score_rC in ranking(matrix, inputs)) for matrix in matrices
    ]


def apply(mask: Mask, matrix: Matrix, weight: Tensor) -> None:
    """Set to zero, in place, what the mask prunes; `weight` has the matrix's shape."""
    for chunk_rC, packed in zip(chunks(matrix, weight), mask.packed, strict=True):
        chunk_rC.masked_fill_(unpack(packed, chunk_rC.numel()).view(chunk_rC.shape), 0)


def _thresholds_of(
    group: Sequence[Matrix], ranking: Ranking, inputs: Inputs, sparsities: Sequence[float]
) -> list[Threshold]:
    total = sum(matrix.numel for matrix in group)
    counts = [round(sparsity * total) for sparsity in sparsities]
    return thresholds(lambda: (score for matrix in group for score in ranking(matrix, inputs)), counts)


def _below(group: Sequence[Matrix], ranking: Ranking, inputs: Inputs, threshold: Threshold) -> Iterator[Mask]:
    """The masks of a group that shares a threshold: its ties are given out in order."""
    ties = threshold.ties
    for matrix in group:
        parts = []
        for score_rC in ranking(matrix, inputs):
            bits_n = as_bits(score_rC).flatten()
            pruned_n, equal_n = bits_n < threshold.bits, bits_n == threshold.bits
            if ties:
                pruned_n |= equal_n & (equal_n.cumsum(0) <= ties)
                ties -= min(ties, int(equal_n.sum()))
            parts.append(pruned_n)
        yield _mask(parts)


def _outranked(score_rC: Tensor, kept: int, size: int) -> Tensor:
    """True where at least `kept` weights of the group score higher, or equal and come first."""
    rows, columns = score_rC.shape
    whole = columns // size * size
    pruned_rC = torch.zeros_like(score_rC, dtype=torch.bool)
    grouped_rGM = score_rC[:, :whole].reshape(rows, whole // size, size)
    last_rGN = grouped_rGM.argsort(dim=-1, descending=True, stable=True)[..., kept:]
    pruned_rC[:, :whole] = torch.zeros_like(grouped_rGM, dtype=torch.bool).scatter_(-1, last_rGN, True).flatten(1)
    return pruned_rC


def _mask(parts: Iterable[Tensor]) -> Mask:
    packed, pruned = [], 0
    for part in parts:
        pruned += int(part.sum())
        packed.append(pack(part.flatten()))
    return Mask(tuple(packed), pruned)
