"""The k-th smallest score over many matrices, exactly, without bringing the scores together.

Non-negative floats order like the integers of the same bits, so the threshold is found some bits at a time by counting:
the memory is one histogram, not a copy of the weights. Equal scores are told apart by their place, which makes every
mask exact and the masks of growing sparsity nested.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Threshold", "as_bits", "thresholds"]

_DIGIT = 11  # bits that are counted at once: float32 takes three passes
_FEW = 1 << 16  # scores that are sorted faster than counted


@dataclass(frozen=True)
class Threshold:
    """Prune what is below `bits`, and the first `ties` scores that equal it."""

    bits: int
    ties: int


def thresholds(scores: Callable[[], Iterable[Tensor]], counts: Sequence[int]) -> list[Threshold]:
    """For each k of `counts` (0 <= k <= number of scores) what prunes exactly the k smallest of `scores()`.

    `scores` may be called several times and must give the same non-negative floats each time.
    """
    if sum(score.numel() for score in scores()) <= _FEW:
        return _by_sorting(torch.cat([as_bits(score).flatten() for score in scores()]), counts)
    found = {k: (0, k) for k in counts}  # the bits known so far, and how many to prune among those that share them
    upper = 64 if next(iter(scores())).dtype is torch.float64 else 32
    while upper:
        shift = max(0, upper - _DIGIT)
        counted = _histograms(scores, {bits for bits, _ in found.values()}, shift, upper - shift)
        found = {k: _narrowed(bits, rest, counted[bits], upper - shift) for k, (bits, rest) in found.items()}
        upper = shift
    return [Threshold(*found[k]) for k in counts]


def as_bits(score: Tensor) -> Tensor:
    """Integers that order as the non-negative floats do; NaN is largest, and so is pruned last."""
    return score.contiguous().view(torch.int64 if score.dtype is torch.float64 else torch.int32)


def _by_sorting(bits_n: Tensor, counts: Sequence[int]) -> list[Threshold]:
    sorted_n = bits_n.sort().values
    found = [int(sorted_n[max(0, k - 1)]) for k in counts]
    return [Threshold(bits, k - int((bits_n < bits).sum())) for bits, k in zip(found, counts, strict=True)]


def _histograms(
    scores: Callable[[], Iterable[Tensor]], prefixes: set[int], shift: int, width: int
) -> dict[int, Tensor]:
    """How often each next digit, of `width` bits, occurs among the scores whose higher bits are `prefix`."""
    counted = dict.fromkeys(prefixes, torch.zeros(1 << width, dtype=torch.int64))
    for score in scores():
        rest = as_bits(score).flatten() >> shift
        high = rest >> width
        for prefix in prefixes:
            digits = rest[high == prefix] & ((1 << width) - 1)
            counted[prefix] = counted[prefix] + torch.bincount(digits, minlength=1 << width).cpu()
    return counted


def _narrowed(bits: int, rest: int, counted: Tensor, width: int) -> tuple[int, int]:
    """One more digit: the smallest at which `rest` scores are reached, and what remains of them there."""
    total = counted.cumsum(0)
    digit = min(int(torch.searchsorted(total, max(rest, 1))), len(counted) - 1)
    return (bits << width) | digit, rest - (int(total[digit - 1]) if digit else 0)
