"""Train for long with a probe, to test its memory: `python long_run.py FOLDER` prints marks as lines of JSON."""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

from depthscope.probes import watch
from depthscope.probes.distributed import Silent

WARM_UP, STEPS = 2_000, 10_000


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return x_BTD + self.mlp(self.norm(x_BTD))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD


def mark(steps: int) -> None:
    """What this process holds: tensors, blocks of the interpreter's allocator, and bytes of memory in all."""
    gc.collect()
    held = {
        "steps": steps,
        "tensors": sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "rss": psutil.Process().memory_info().rss,
    }
    print(json.dumps(held), flush=True)


def main() -> None:
    torch.set_num_threads(1)
    # Records go nowhere: the writer's own memory is bounded by tests of its own.
    module: Any = sys.modules["depthscope.probes.watch"]
    module.open_once = lambda info, make: Silent(info.run, 0)
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x_BTD = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    with watch(model, store=Path(sys.argv[1]), every=50, probe_batch=x_BTD) as probe:
        for step in range(WARM_UP + STEPS + 1):
            loss = model(x_BTD).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            probe.log(loss=loss, other=step)
            if step in (WARM_UP, WARM_UP + STEPS):
                mark(step)


if __name__ == "__main__":
    main()
