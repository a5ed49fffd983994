"""Train on several gloo processes, for tests: `python ranks.py KIND RANK RANKS PORT STORE`."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from loops import batches, loss_of

from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

STEPS, SIZE = 5, 4


def model_of(kind: str) -> torch.nn.Module:
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    if kind == "frozen":
        model.blocks[0].requires_grad_(False)
    return model


def train(kind: str, rank: int, ranks: int, store: Path) -> None:
    """Every rank trains on its part of the same batches as one process would."""
    model = model_of(kind)
    if kind == "fsdp-after":
        probe = watch(model, store=store, run=kind, every=2)
    model, watched = wrapped(kind, model)
    if kind != "fsdp-after":
        probe = watch(watched, store=store, run=kind, every=2, probe_batch=batches(1, seed=3)[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for ids_BT in batches(STEPS, size=SIZE):
        loss = loss_of(model, ids_BT.chunk(ranks)[rank])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        if rank == 0:
            probe.log(loss=loss)  # as most loops do
    probe.close()


def wrapped(kind: str, model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The model that trains, and the one that is watched."""
    if kind in ("ddp", "frozen"):
        wrapper = torch.nn.parallel.DistributedDataParallel(model)
        return wrapper, wrapper
    if kind == "ddp-inner":
        return torch.nn.parallel.DistributedDataParallel(model), model
    if kind.startswith("fsdp"):
        from torch.distributed.fsdp import fully_shard

        for block in model.blocks:
            fully_shard(block)
        fully_shard(model)
    return model, model


def run_ranks(kind: str, ranks: int, store: Path) -> None:
    """Start the processes and wait for them; raises with what they said when one fails."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, kind]
    children = [
        subprocess.Popen(
            [*command, str(rank), str(ranks), str(port), str(store)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in range(ranks)
    ]
    said = [child.communicate(timeout=300)[0].decode() for child in children]
    if any(child.returncode for child in children):
        raise AssertionError("\n".join(said))


def main() -> None:
    kind, rank, ranks, port, store = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5])
    torch.set_num_threads(1)
    if ranks > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        dist.init_process_group("gloo", rank=rank, world_size=ranks)
    if kind == "taken":
        try:
            watch(model_of(kind), store=store, run="taken")
        except DepthscopeError as error:
            assert "taken" in str(error)
        else:
            raise AssertionError("expected every rank to be refused")
    else:
        train(kind, rank, ranks, store)
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
