"""Several ranks, one run: rank 0 writes, and every rank joins one collective a sampled step.

A collective that one rank misses stops them all, so nothing here depends on what a rank saw: every rank gathers a
vector of the same length at the same steps, with zero counts where it saw nothing.
"""

import gc
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from depthscope.store import DepthscopeError, Record, RunInfo, RunWriter

from .inert import Inert

__all__ = [
    "TensorParallel",
    "Writer",
    "every_ranks",
    "gradient_of",
    "local",
    "open_once",
    "rank_zeros",
    "refuse_stages",
    "shard_share",
    "whole",
    "world",
]


class Silent:
    """What the other ranks write to: nothing."""

    def __init__(self, run: str, from_step: int) -> None:
        self.run, self.from_step = run, from_step

    def begin_at(self, step: int) -> None:
        self.from_step = step

    def write(self, *records: Record) -> None:
        pass

    def close(self, status: str = "finished") -> None:
        pass


Writer = RunWriter | Silent


def world() -> tuple[int, int]:
    """(rank, number of ranks); (0, 1) where torch.distributed does not run."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def open_once(info: RunInfo, open_writer: Callable[[RunInfo], RunWriter]) -> Writer:
    """The run's writer on rank 0 and silent ones elsewhere; an error on rank 0 is raised on all ranks."""
    rank, ranks = world()
    if ranks == 1:
        return open_writer(info)
    writer, said = None, [("", "", 0)]
    if rank == 0:
        try:
            writer = open_writer(info)
            said = [("", writer.run, writer.from_step)]
        except DepthscopeError as error:
            said = [(str(error), "", 0)]
    dist.broadcast_object_list(said, src=0)
    message, run, from_step = said[0]
    if message:
        raise DepthscopeError(message)
    return Silent(run, from_step) if writer is None else writer


def rank_zeros(number: int) -> int:
    """Rank 0's number, on every rank."""
    said = [number]
    if world()[1] > 1:
        dist.broadcast_object_list(said, src=0)
    return said[0]


def refuse_stages(model: nn.Module) -> None:
    """Raises DepthscopeError, on every rank, where ranks hold different layers: pipeline stages."""
    stages = sys.modules.get("torch.distributed.pipelining.stage")
    staged = stages is not None and any(
        issubclass(type(thing), stages._PipelineStageBase) and thing.submod is model for thing in gc.get_objects()
    )
    names = [] if staged else [name for name, _ in model.named_parameters()]
    everyones: list[list[str]] = [names] * world()[1]
    if world()[1] > 1:
        dist.all_gather_object(everyones, names)
    if staged or [] in everyones or any(theirs != everyones[0] for theirs in everyones):
        raise DepthscopeError(
            "expected the whole model on every rank, got stages of a pipeline; train with data or tensor parallelism"
        )


class TensorParallel(Inert):
    """Whether this rank's activations are another rank's too: found where blocks run on sharded weights.

    FSDP's weights are whole while a block runs, so what is still a DTensor then is tensor parallel. Of the ranks that
    hold the same activations the first one counts; the others join with zeros.
    """

    def __init__(self) -> None:
        self._mesh: Any = None

    def __call__(self, module: nn.Module, args: Any) -> None:
        """A forward pre-hook of a block."""
        if self._mesh is None and not torch.compiler.is_compiling():
            found = (getattr(p, "device_mesh", None) for p in module.parameters())
            self._mesh = next((mesh for mesh in found if mesh is not None), None)

    @property
    def counts(self) -> bool:
        """Whether this rank's activations are counted."""
        return self._mesh is None or not any(self._mesh.get_coordinate() or [])

    @property
    def copies(self) -> int:
        """How many ranks hold the same activations."""
        size: int = 1 if self._mesh is None else self._mesh.size()
        return size


def every_ranks(flat: Tensor) -> Tensor:
    """`[W, n]` of every rank's `[n]`: the one collective of a sampled step."""
    ranks = world()[1]
    if ranks == 1:
        return flat.unsqueeze(0)
    gathered = flat.new_empty(ranks * flat.numel())
    # Newer versions of torch have another name for it, and warn of the old one.
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(gathered, flat.contiguous())
    return gathered.view(ranks, -1)


def whole(x: Tensor) -> Tensor:
    """An activation as one process would have it; under sequence parallelism that takes a collective."""
    full: Tensor = x.full_tensor() if hasattr(x, "full_tensor") else x
    return full


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """This rank's parts of sharded tensors (FSDP2, tensor parallel); complex numbers as pairs, all else as it is."""
    return [_to_local(t) for t in tensors]


def _to_local(tensor: Any) -> Tensor:
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return torch.view_as_real(part.resolve_conj()) if part.is_complex() else part


def gradient_of(parameter: Any) -> Any:
    """Its gradient, laid over the ranks as the parameter is; of a sparse one what it holds.

    Under sequence parallelism a norm's gradient is still to be summed over ranks, and an embedding's is whole on each.
    """
    grad = parameter.grad
    if grad is not None and grad.layout is torch.sparse_coo:
        return grad.coalesce().values()
    if grad is None or getattr(grad, "placements", None) == getattr(parameter, "placements", None):
        return grad
    return grad.redistribute(placements=parameter.placements)


def shard_share(parameter: Any) -> float:
    """What this rank's part counts when all ranks' parts are summed: 1 for a shard, 1/W for what every rank holds."""
    ranks = world()[1]
    shards = 1
    for dim, placement in enumerate(getattr(parameter, "placements", ())):
        if placement.is_shard():
            shards *= parameter.device_mesh.size(dim)
    return shards / ranks
