"""Distances of batch statistics from running ones: the number by hand, and what the layers themselves keep."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depthscope.probes import watch
from depthscope.probes.metrics import METRICS, BatchStatistics
from depthscope.sample_runs import build_model

NAMES = ("batch_mean_fluctuation", "batch_var_fluctuation")


def ids_of(step: int) -> torch.Tensor:
    return torch.randint(64, (4, 9), generator=torch.Generator().manual_seed(step))


def train(model: nn.Module, store, steps: int, micro: int = 1, each=lambda: None, **options) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with watch(model, store=store, run="a", **{"every": 1, **options}):
        for step in range(steps):
            for part in range(micro):
                ids = ids_of(step * micro + part)
                F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
                each()
            optimizer.step()
            optimizer.zero_grad()


def rows(store) -> dict:
    found = store.layer_stats(site="norm", columns=NAMES)
    return {
        (step, None if pd.isna(layer) else int(layer)): (mean, var)
        for step, layer, mean, var in zip(*(found[name] for name in ("step", "layer", *NAMES)), strict=True)
    }


def test_the_number_of_the_reference():
    """sigma²_B - sigma² = (1, 1, 1, 1) is a distance of 0.5."""
    batch = BatchStatistics(torch.zeros(4), torch.full((4,), 2.0), torch.tensor([3.0, 0, 0, 4.0]), torch.ones(4))
    assert [float(METRICS[name].measure(batch)[0]) for name in NAMES] == [5 / 4, 0.5]


def test_powernorm_without_means():
    power = BatchStatistics(None, torch.tensor([5.0, 4, 5]), None, torch.tensor([1.0, 1, 1]))
    assert float(METRICS["batch_mean_fluctuation"].measure(power)[1]) == 0
    assert float(METRICS["batch_var_fluctuation"].measure(power)[0]) == pytest.approx(41**0.5 / 3)


@pytest.mark.parametrize("strategy", ["power", "prepbn"])
def test_what_the_layers_of_a_strategy_measure_themselves(strategy, store_path, read):
    model = build_model(strategy, layers=2, width=32, heads=2, vocab=64, seed=1)
    kept: list[dict] = []

    def look():
        each = {}
        for layer, part in ((1, model.blocks[0]), (2, model.blocks[1]), (None, model.final_norm)):
            norms = [m for m in part.modules() if hasattr(m, "batch_var_fluctuation")]
            for name in NAMES:
                values = [float(v) for m in norms if (v := getattr(m, name, None)) is not None]
                each[layer, name] = sum(values) / len(values) if values else float("nan")
        kept.append(each)

    train(model, store_path, 3, each=look)
    found = rows(read())
    assert len(found) == 3 * 3
    for (step, layer), values in found.items():
        want = [kept[step][layer, name] for name in NAMES]
        assert values == pytest.approx(want, rel=1e-4, nan_ok=True)
    assert all((mean != mean) == (strategy == "power") for mean, _ in found.values())


class Normed(nn.Module):
    """A decoder whose blocks begin with torch's batch norm over [B, D, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(64, 8), nn.Linear(8, 64)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, ids_BT):
        x = self.embed(ids_BT)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.BatchNorm1d(8), nn.Linear(8, 8)
        self.norm.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        return x + self.mlp(self.norm(x.transpose(1, 2)).transpose(1, 2))


def test_torchs_batch_norm_over_micro_batches_against_its_statistics_before(store_path, read):
    torch.manual_seed(0)
    model = Normed()
    model.blocks[0].norm.register_forward_pre_hook(lambda m, a: seen.append((a[0].detach(), m.running_var.clone())))
    seen: list = []
    train(model, store_path, 2, micro=2, every=lambda step: step == 1)
    found = rows(read())
    assert {step for step, _ in found} == {1}
    distances = [float((x.var((0, 2), correction=0) - running).norm() / 8) for x, running in seen[-2:]]
    assert found[1, 1][1] == pytest.approx(sum(distances) / 2, rel=1e-5)


def test_a_model_without_such_norms_has_no_rows_and_no_hooks(model, store_path, read):
    train(model, store_path, 2)
    assert rows(read()) == {}
    assert "batch_var_fluctuation" not in read().layer_stats().dropna(axis=1, how="all").columns


def test_every_hook_goes(store_path):
    model = Normed()
    train(model, store_path, 1)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
