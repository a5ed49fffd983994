"""Several ranks, one run: rank 0 writes, and every rank joins one collective a sampled step.

A collective that one rank misses stops them all, so nothing here depends on what a rank saw: every rank gathers a
vector of the same length at the same steps, with zero counts where it saw nothing.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch.distributed as dist
from torch import Tensor

from depthscope.store import DepthscopeError, Record, RunInfo, RunWriter

__all__ = ["Writer", "every_ranks", "local", "open_once", "rank_zeros", "shard_share", "world"]


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


def every_ranks(flat: Tensor) -> Tensor:
    """`[W, n]` of every rank's `[n]`: the one collective of a sampled step."""
    ranks = world()[1]
    if ranks == 1:
        return flat.unsqueeze(0)
    gathered = flat.new_empty(ranks * flat.numel())
    dist.all_gather_into_tensor(gathered, flat.contiguous())
    return gathered.view(ranks, -1)


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """This rank's parts of sharded tensors (FSDP2, tensor parallel); plain tensors as they are."""
    return [_to_local(t) for t in tensors]


def _to_local(tensor: Any) -> Tensor:
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def shard_share(parameter: Any) -> float:
    """What this rank's part counts when all ranks' parts are summed: 1 for a shard, 1/W for what every rank holds."""
    ranks = world()[1]
    shards = 1
    for dim, placement in enumerate(getattr(parameter, "placements", ())):
        if placement.is_shard():
            shards *= parameter.device_mesh.size(dim)
    return shards / ranks
