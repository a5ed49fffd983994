"""How many weights are nearly zero, at thresholds that are said: no optimizer but a pruner makes a weight exactly zero.

Essential Sparsity (NeurIPS 2023) counts zero weights over training and gives no threshold; here it is 1e-5 to 1e-2, and
1 % of the root mean square that the matrix had when the run began, where that was seen.
"""

from collections.abc import Sequence

import torch

from depthscope.store import Record, SparsityLayer

from .context import Context
from .cost import NOTHING, Cost
from .matrices import Matrix, chunks, prunable
from .ranking import rms, wide

__all__ = ["ABSOLUTE", "OF_INITIAL_RMS", "near_zero", "near_zero_cost"]

ABSOLUTE = (1e-5, 1e-4, 1e-3, 1e-2)
OF_INITIAL_RMS = 0.01


def near_zero(context: Context) -> list[Record]:
    """Of every matrix, and of all of a stack's together (layer None, matrix 'all'), the fraction of |w| < threshold.

    In the row of a stack the relative threshold is 1 % of the initial root mean square of all its weights, while each
    weight was compared with its own matrix's.
    """
    matrices = prunable(context.model, context.sites)
    if context.initial:
        context.memory["initial_rms"] = {_key(matrix): rms(matrix) for matrix in matrices}
    initial = context.memory.get("initial_rms", {})
    stacks = {stack: [matrix for matrix in matrices if matrix.stack == stack] for stack in context.stacks()}
    rows: list[Record] = []
    for stack, inside in stacks.items():
        for threshold in ABSOLUTE:
            rows += _rows(context.step, stack, inside, [threshold] * len(inside), threshold)
        if inside and all(_key(matrix) in initial for matrix in inside):
            own = [OF_INITIAL_RMS * initial[_key(matrix)] for matrix in inside]
            square = sum(each**2 * matrix.numel for each, matrix in zip(own, inside, strict=True))
            rows += _rows(context.step, stack, inside, own, (square / sum(m.numel for m in inside)) ** 0.5)
    return rows


def near_zero_cost(context: Context) -> Cost:
    """No forward."""
    return NOTHING


def _rows(
    step: int, stack: str, matrices: Sequence[Matrix], thresholds: Sequence[float], of_all: float
) -> list[SparsityLayer]:
    counts = [_below(matrix, threshold) for matrix, threshold in zip(matrices, thresholds, strict=True)]
    total = sum(counts) / max(1, sum(matrix.numel for matrix in matrices))
    each = zip(matrices, thresholds, counts, strict=True)
    return [SparsityLayer(step, m.stack, m.layer, m.name, t, near_zero=count / m.numel) for m, t, count in each] + [
        SparsityLayer(step, stack, None, "all", of_all, near_zero=total)
    ]


def _below(matrix: Matrix, threshold: float) -> int:
    """Compared as float32 or float64: 0.01 rounded to bfloat16 would be another threshold."""
    return sum(int(torch.count_nonzero(wide(chunk.abs()) < threshold)) for chunk in chunks(matrix, matrix.weight))


def _key(matrix: Matrix) -> tuple[str, int, str]:
    return matrix.stack, matrix.layer, matrix.name
