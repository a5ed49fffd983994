"""Memory is flat over many steps, and nothing of a step outlives it."""

import gc
import tracemalloc

import psutil
import pytest
import torch
from torch import nn

from depthscope.probes import watch
from depthscope.probes.distributed import Silent

STEPS = 10_000
MEBIBYTE = 2**20


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x_BTD):
        return x_BTD + self.mlp(self.norm(x_BTD))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x_BTD):
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD


def tensors():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())  # isinstance would ask proxies


@pytest.fixture
def unwritten(monkeypatch):
    """Records go nowhere: the writer's own memory is bounded by tests of its own."""
    import sys

    monkeypatch.setattr(sys.modules["depthscope.probes.watch"], "open_once", lambda info, make: Silent(info.run, 0))


@pytest.mark.long
def test_memory_is_flat_over_ten_thousand_steps(store_path, unwritten):
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x_BTD = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    process, marks = psutil.Process(), {}
    with watch(model, store=store_path, every=50, probe_batch=x_BTD) as probe:
        for step in range(STEPS + 1):
            loss = model(x_BTD).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            probe.log(loss=loss, other=step)
            if step in (STEPS // 10, STEPS):
                marks[step] = tensors(), process.memory_info().rss
            if step == STEPS // 10:
                tracemalloc.start()
    traced = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    (early, rss), (late, rss_after) = marks.values()
    assert late <= early
    assert traced < MEBIBYTE
    assert rss_after - rss < MEBIBYTE
