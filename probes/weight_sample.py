"""Some entries of a parameter, from which the size of its update is read.

Memory is read by cache lines: entries that lie apart cost a line each, so what is sampled are runs of neighbours as
long as a line of float32.
"""

import math

from torch import Tensor

from .distributed import local

__all__ = ["each_stands_for", "sampled"]

RUN = 16


def sampled(parameter: Tensor, entries: int) -> Tensor:
    """A view of at most `entries` of this rank's entries: all of a small parameter, else runs from all over it."""
    [part] = local([parameter])
    numel, flat = part.numel(), part.reshape(-1)
    if numel <= entries:
        return flat
    return flat.unfold(0, RUN, _spacing(numel, part.shape[-1], entries))


def each_stands_for(parameter: Tensor, entries: int) -> float:
    """How many entries of this rank's each sampled one is there for: 1 where all of them are."""
    [part] = local([parameter])
    return part.numel() / max(1, sampled(part, entries).numel())


def _spacing(numel: int, width: int, entries: int) -> int:
    """From the start of a run to the next: without a common factor with the width, so that they visit every column."""
    step = -(-numel * RUN // entries)
    while math.gcd(step, width) > 1:
        step += 1
    return step
