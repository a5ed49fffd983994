"""Which weights go first: a score for every weight, the smallest of which are pruned.

A ranking yields scores in the chunks of `chunks(matrix, ...)`, never negative, float64 for float64 weights, else
float32. A new ranking is a function and a line in RANKINGS.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .matrices import Matrix, chunks

__all__ = ["RANKINGS", "Inputs", "Ranking", "input_sizes", "rms", "wide"]

Inputs = Mapping[tuple[str, int, str], Tensor]
"""Root mean square of each input feature `[C]` of a matrix, by stack, layer and name."""

Ranking = Callable[[Matrix, Inputs], Iterator[Tensor]]


def magnitude(matrix: Matrix, inputs: Inputs) -> Iterator[Tensor]:
    """|w| (one-shot magnitude pruning, Essential Sparsity, NeurIPS 2023)."""
    return (wide(chunk_rC.abs()) for chunk_rC in chunks(matrix, matrix.weight))


def wanda(matrix: Matrix, inputs: Inputs) -> Iterator[Tensor]:
    """|w| times the root mean square of its input feature over held-out tokens (Wanda, arXiv 2306.11695).

    Experts, and weights that are read without their module being called, have no inputs on record: |w| alone.
    """
    size_C = inputs.get((matrix.stack, matrix.layer, matrix.name))
    plain = magnitude(matrix, inputs)
    return plain if size_C is None else (score_rC * size_C.to(score_rC) for score_rC in plain)


def random(matrix: Matrix, inputs: Inputs) -> Iterator[Tensor]:
    """Uniform numbers from a seed that is the matrix's name: the control that any ranking has to beat."""
    seed = zlib.crc32(f"{matrix.stack}.{matrix.layer}.{matrix.name}".encode())
    generator = torch.Generator().manual_seed(seed)
    for chunk_rC in chunks(matrix, matrix.weight):
        yield torch.rand(chunk_rC.shape, generator=generator).to(chunk_rC.device)


RANKINGS: dict[str, Ranking] = {
    "magnitude": magnitude,
    "wanda": wanda,
    "random": random,
}


def rms(matrix: Matrix) -> float:
    """Root mean square of all weights of a matrix."""
    square = sum(float(wide(chunk_rC).square().sum(dtype=torch.float64)) for chunk_rC in chunks(matrix, matrix.weight))
    return float((square / matrix.numel) ** 0.5)


def input_sizes(matrices: tuple[Matrix, ...], forward: Callable[[], object]) -> dict[tuple[str, int, str], Tensor]:
    """What wanda needs, from one run of `forward` over held-out tokens; padding counts like any token."""
    sums: dict[tuple[str, int, str], tuple[Tensor, int]] = {}
    handles = []
    try:
        for matrix in matrices:
            for place in matrix.places:
                if isinstance(place.module, nn.Linear) or type(place.module).__name__ == "Conv1D":
                    handles.append(place.module.register_forward_pre_hook(_adder(matrix, sums)))
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return {key: (square_C / count).sqrt() for key, (square_C, count) in sums.items() if count}


def _adder(matrix: Matrix, sums: dict[tuple[str, int, str], tuple[Tensor, int]]) -> Callable[..., None]:
    key = (matrix.stack, matrix.layer, matrix.name)

    def add(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            x_NC = wide(args[0].detach().reshape(-1, args[0].shape[-1]))
            square_C, count = sums.get(key, (torch.zeros_like(x_NC[0]), 0)) if len(x_NC) else (None, 0)
            if square_C is not None:
                sums[key] = square_C + x_NC.square().sum(0), count + len(x_NC)

    return add


def wide(x: Tensor) -> Tensor:
    return x if x.dtype is torch.float64 else x.float()
