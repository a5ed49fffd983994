"""Train on several gloo processes, for tests: `python ranks.py KIND RANK RANKS MEETING STORE`.

They meet by a file, because a free port can be taken by somebody else before it is used, and leave by it too: a gloo
peer that is still reading the last message fails when it finds the connection closed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from counting import Operations
from loops import batches, loss_of

from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

STEPS, SIZE = 5, 4


def model_of(kind: str) -> torch.nn.Module:
    if kind == "sequence":
        return MLPs()
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    if kind == "frozen":
        model.blocks[0].requires_grad_(False)
    if kind == "gates":
        model.blocks = torch.nn.ModuleList(Gated(block) for block in model.blocks)
    return model


class Gated(torch.nn.Module):
    """A block scaled by a single number, of which all ranks but the first hold an empty shard."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block, self.gate = block, torch.nn.Parameter(torch.full((1,), 0.9))

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.block(*args, **kwargs) * self.gate


class MLPBlock(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up = torch.nn.LayerNorm(32), torch.nn.Linear(32, 64)
        self.down = torch.nn.Linear(64, 32)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return x_BTD + self.down(torch.nn.functional.gelu(self.up(self.norm(x_BTD))))


class MLPs(torch.nn.Module):
    """A model all of whose stream can be split along its tokens."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed = torch.nn.Embedding(64, 32)
        self.blocks = torch.nn.ModuleList(MLPBlock() for _ in range(3))
        self.final, self.head = torch.nn.LayerNorm(32), torch.nn.Linear(32, 64)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        x_BTD = self.embed(ids_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.head(self.final(x_BTD))


def train(kind: str, rank: int, ranks: int, store: Path) -> None:
    """Every rank trains on its part of the same batches as one process would."""
    model = model_of(kind)
    if kind == "fsdp-after":
        probe = watch(model, store=store, run=kind, every=2)
    model, watched = wrapped(kind, model)
    if kind != "fsdp-after":
        mask = real_tokens if kind.startswith("masked") else None
        probe = watch(watched, store=store, run=kind, every=2, probe_batch=batches(1, seed=3)[0], mask=mask)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if kind == "broken" and rank == 1:
        fail_on(probe)
    for step, ids_BT in enumerate(batches(STEPS, size=SIZE)):
        if kind == "skips" and rank == 1 and step % 2:
            model.module.skipped = 1
        loss = loss_of(model, part_of(kind, ids_BT, rank, ranks))
        loss.backward()
        if not kind.startswith(("tensor", "sequence")):  # torch does not clip plain and sharded gradients together
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        if rank == 0:
            probe.log(loss=loss)  # as most loops do
    probe.close()


def real_tokens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """Half of all ids are padding: of another number on every rank."""
    return args[0] % 2 == 0


def part_of(kind: str, ids_BT: torch.Tensor, rank: int, ranks: int) -> torch.Tensor:
    """What a rank trains on: its share of the batch, all of it, or an uneven share."""
    if kind in ("tensor", "sequence"):
        return ids_BT
    if kind == "uneven":
        return ids_BT[:3] if rank == 0 else ids_BT[3:, :7]
    return ids_BT.chunk(ranks)[rank]


def fail_on(probe: Any) -> None:
    """Everything in this rank's probe raises from its second step on."""
    session = probe._session
    opened = session._open

    def fails(*args: Any) -> None:
        raise RuntimeError("broken on purpose")

    def second(*args: Any) -> None:
        if session.step:
            session.measurement.recorder.take = session.measurement._reader.after_update = fails
            session._open = session.note = fails
            fails()
        opened(*args)

    session._open = second


class Skipping(torch.nn.Module):
    """A decoder that can leave one of its blocks out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.skipped = model, None

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        block = None if self.skipped is None else self.model.blocks[self.skipped]
        if block is None:
            return self.model(ids_BT)
        forward, block.forward = block.forward, lambda x, *rest, **named: x
        hooks, block._forward_hooks = block._forward_hooks, {}
        before, block._forward_pre_hooks = block._forward_pre_hooks, {}
        try:
            return self.model(ids_BT)
        finally:
            block.forward, block._forward_hooks, block._forward_pre_hooks = forward, hooks, before


def evaluate(rank: int, store: Path) -> None:
    """DistributedDataParallel with held-out measurements, before the sites are traced and on the way."""
    model = torch.nn.parallel.DistributedDataParallel(build_model("prepbn", layers=3, width=32, heads=2, vocab=64))
    held_out = batches(2, size=6, seed=9)
    probe = watch(model, store=store, run="evaluate", holdout=held_out, evaluate_every=2)
    probe.evaluate(only="spans")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for ids_BT in batches(STEPS, size=SIZE):
        loss_of(model, ids_BT.chunk(2)[rank]).backward()
        optimizer.step()
        optimizer.zero_grad()
    probe.close()


def evaluate_sharded(store: Path) -> None:
    """FSDP2 is refused when it is asked for, and warned of when it is asked later."""
    model, _ = wrapped("fsdp", model_of("fsdp"))
    held_out = batches(2, size=6, seed=9)
    try:
        watch(model, store=store, run="sharded", holdout=held_out, evaluate_every=2)
    except DepthscopeError as error:
        assert "sharded" in str(error)
    else:
        raise AssertionError("expected a refusal")
    probe = watch(model, store=store, run="sharded", holdout=held_out)
    assert probe.evaluate() == []
    probe.close()


def wrapped(kind: str, model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The model that trains, and the one that is watched."""
    if kind == "skips":
        model = Skipping(model)
        wrapper = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
        return wrapper, wrapper
    if kind in ("tensor", "sequence"):
        split(kind, model)
        return model, model
    if kind in ("ddp", "frozen", "uneven", "broken", "masked"):
        wrapper = torch.nn.parallel.DistributedDataParallel(model)
        return wrapper, wrapper
    if kind == "ddp-inner":
        return torch.nn.parallel.DistributedDataParallel(model), model
    if kind in ("fsdp", "fsdp-after", "gates"):
        from torch.distributed.fsdp import fully_shard

        for block in model.blocks:
            fully_shard(block)
        fully_shard(model)
    return model, model


def split(kind: str, model: torch.nn.Module) -> None:
    """Tensor parallelism of the MLPs; with 'sequence' the stream is split along its tokens between them."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    if kind == "tensor":
        plan = {"mlp.gate": ColwiseParallel(), "mlp.up": ColwiseParallel(), "mlp.down": RowwiseParallel()}
        for block in model.blocks:
            parallelize_module(block, mesh, plan)
        return
    for block in model.blocks:
        plan = {
            "norm": SequenceParallel(),
            "up": ColwiseParallel(input_layouts=Shard(1)),
            "down": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        }
        parallelize_module(block, mesh, plan)
    ends = {
        "embed": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1), use_local_output=False),
        "final": SequenceParallel(),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate()),
    }
    parallelize_module(model, mesh, ends)


def tell_refusal(model: torch.nn.Module, store: Path, run: str) -> None:
    """Print why `watch` refuses a model; nothing where it does not."""
    try:
        watch(model, store=store, run=run).close()
    except DepthscopeError as error:
        print(f"refused: {error}")


def count_collectives(kind: str, rank: int, ranks: int, store: Path) -> None:
    """Write how many collectives each step has with a probe that it has not without one, to `more.json`.

    The rows of a step leave when the next one begins, or with the probe: the first forward of all, which
    wrappers set themselves up in, is left out.
    """
    counts: dict[bool, list[int]] = {}
    for watched in (False, True):
        model, _ = wrapped(kind, model_of(kind))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        given = batches(STEPS, size=SIZE)
        probe = watch(model, store=store, every=2, example_inputs=given[0]) if watched else None
        counts[watched] = []
        for ids_BT in given:
            with Operations() as operations:
                loss_of(model, part_of(kind, ids_BT, rank, ranks)).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
            counts[watched].append(collectives(operations))
        with Operations() as operations:
            if probe is not None:
                probe.close()
        counts[watched].append(collectives(operations))
    more = [b - a for a, b in zip(counts[False], counts[True], strict=True)][1:]
    if rank == 0:
        (store / "more.json").write_text(json.dumps(more))


def collectives(operations: Operations) -> int:
    return sum(
        n for name, n in operations.counted.items() if name.startswith(("c10d", "_c10d")) and "wait_tensor" not in name
    )


def run_ranks(kind: str, ranks: int, store: Path) -> list[str]:
    """Start the processes and wait for them; what each of them said. Raises with it when one fails."""
    command = [sys.executable, __file__, kind]
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        children = [
            subprocess.Popen(
                [*command, str(rank), str(ranks), meeting, str(store)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for rank in range(ranks)
        ]
        said = [child.communicate(timeout=300)[0].decode() for child in children]
    if any(child.returncode for child in children):
        raise AssertionError("\n".join(said))
    return said


def main() -> None:
    kind, rank, ranks, meeting, store = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5])
    torch.set_num_threads(1)
    met = dist.FileStore(meeting, ranks)
    dist.init_process_group("gloo", store=met, rank=rank, world_size=ranks)
    if kind == "stages":
        tell_refusal(torch.nn.Sequential(*model_of(kind).blocks[rank : rank + 1 + rank]), store, kind)
    elif kind == "taken":
        tell_refusal(model_of(kind), store, kind)
    elif kind.endswith("-counted"):
        count_collectives(kind.removesuffix("-counted"), rank, ranks, store)
    elif kind == "evaluate":
        evaluate(rank, store)
    elif kind == "evaluate-sharded":
        evaluate_sharded(store)
    else:
        train(kind, rank, ranks, store)
    leave(met, ranks)


def leave(met: dist.FileStore, ranks: int) -> None:
    """End this process once every rank has come this far; one that failed is not waited for long."""
    met.add("done", 1)
    deadline = time.monotonic() + 120
    while met.add("done", 0) < ranks and time.monotonic() < deadline:
        time.sleep(0.01)
    sys.stdout.flush()
    os._exit(0)  # gloo now and then aborts as the interpreter unloads it ("terminate called"), after all is done


if __name__ == "__main__":
    main()
