"""The weights that pruning is about: the matrices inside blocks, with the axis that is their input.

As in Essential Sparsity (NeurIPS 2023): projections of attention and MLP, experts too; not embeddings, biases, norms,
convolutions or the head. A matrix that several modules or layers share is one matrix, named where it first occurs.
Shapes: R output features, C input features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError

from ..sites import Sites

__all__ = ["CHUNK", "Matrix", "Place", "chunks", "prunable"]

CHUNK = 1 << 16
"""Weights that are worked on at once: what bounds the memory of everything here."""

_NAMES = ("weight", "weight_orig", "original")  # torch's own, under torch.nn.utils.prune, under a parametrization
_OTHERS = (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.modules.conv._ConvNd, nn.LayerNorm, nn.Bilinear)


@dataclass(frozen=True)
class Place:
    """Where a block reads a matrix: a parameter of a module."""

    block: str
    module: nn.Module
    name: str


@dataclass(frozen=True)
class Matrix:
    """One weight matrix, or one tensor of equally shaped experts; `name` is its path in the block.

    `transposed` says that its last axis is the output, not the input (GPT-2's Conv1D). `places` are all that read it.
    """

    stack: str
    layer: int
    name: str
    weight: Tensor
    transposed: bool
    places: tuple[Place, ...]

    @property
    def numel(self) -> int:
        return self.weight.numel()


def prunable(model: nn.Module, sites: Sites) -> tuple[Matrix, ...]:
    """The matrices of all blocks, in order of depth.

    Raises DepthscopeError for sharded weights, or where there is nothing to prune.
    """
    modules = dict(model.named_modules())
    first = {block.name: (block.stack, block.layer) for block in sites.blocks if block.turn == 0}
    found: dict[int, list[tuple[str, Place]]] = {}
    for block in first:
        for path, module in modules[block].named_modules():
            for name, weight in module._parameters.items():
                if weight is not None and _is_matrix(path, module, name, weight):
                    found.setdefault(id(weight), []).append((path, Place(block, module, name)))
    outside = _outside(model, [modules[name] for name in first])
    matrices = tuple(_matrix(first, each) for key, each in found.items() if key not in outside)
    if not matrices:
        raise DepthscopeError("expected blocks with weight matrices of floating point numbers to prune, found none")
    return matrices


def chunks(matrix: Matrix, weight: Tensor) -> Iterator[Tensor]:
    """`weight`, of the matrix's shape, as views `[r, C]` of at most about CHUNK elements, inputs last."""
    for whole in weight.unbind(0) if weight.dim() == 3 else (weight,):
        whole_RC = whole.T if matrix.transposed else whole
        yield from torch.split(whole_RC, max(1, CHUNK // whole_RC.shape[1]))


def _matrix(layers: dict[str, tuple[str, int]], found: list[tuple[str, Place]]) -> Matrix:
    path, place = found[0]
    weight = place.module._parameters[place.name]
    assert weight is not None
    if hasattr(weight, "placements"):
        raise DepthscopeError(
            "expected whole weights to prune, found sharded ones; save a full state_dict and evaluate that"
        )
    stack, layer = layers[place.block]
    transposed = type(place.module).__name__ == "Conv1D" or bool(getattr(place.module, "is_transposed", False))
    return Matrix(stack, layer, _name(path, place.name), weight.detach(), transposed, tuple(p for _, p in found))


def _name(path: str, parameter: str) -> str:
    """`attn.q` for attn.q.weight, also where torch.nn.utils keeps the weight elsewhere."""
    return (
        path.removesuffix(".parametrizations.weight")
        if parameter in _NAMES
        else f"{path}.{_plain(parameter)}".strip(".")
    )


def _plain(parameter: str) -> str:
    """Its name before torch.nn.utils.prune put a mask beside it."""
    return parameter.removesuffix("_orig")


def _is_matrix(path: str, module: nn.Module, name: str, weight: Tensor) -> bool:
    """A projection's weight, or a tensor of experts: what multiplies activations and is stored as one."""
    if not weight.is_floating_point() or isinstance(module, _OTHERS) or "norm" in type(module).__name__.lower():
        return False
    if weight.dim() == 3:
        return "expert" in f"{path}.{type(module).__name__}".lower() and min(weight.shape[1:]) > 1
    return weight.dim() == 2 and min(weight.shape) > 1 and (name in _NAMES or _plain(name).endswith("proj_weight"))


def _outside(model: nn.Module, blocks: list[nn.Module]) -> set[int]:
    """Parameters that something outside the blocks reads as well: tied to an embedding or a head."""
    inside = {id(module) for block in blocks for module in block.modules()}
    return {id(p) for module in model.modules() if id(module) not in inside for p in module._parameters.values()}
