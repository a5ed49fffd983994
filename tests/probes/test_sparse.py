"""Masks of sparse training, seen by a probe: torch's own buffers, exact zeros, and dense runs without a trace."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from depthscope.probes import watch
from depthscope.probes.sites import find_sites
from depthscope.probes.sparse import MaskWatch
from depthscope.store import average_parameters

NAMES = ("mask_density", "mask_flip_rate", "mask_flip_rate_initial", "active_parameters")


def linears(model: nn.Module) -> list[nn.Linear]:
    return [m for block in model.blocks for m in block.modules() if isinstance(m, nn.Linear)]


def train(model: nn.Module, store, steps: int, between=lambda step: None, **options) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with watch(model, store=store, run="a", every=1, **options):
        for step in range(steps):
            ids = torch.randint(64, (2, 9), generator=torch.Generator().manual_seed(step))
            loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            between(step)


def scalars(store) -> dict[str, dict[int, float]]:
    found = store.scalars(name=[*NAMES, "zero_weights"])
    rows = found.groupby("name")[["step", "value"]]
    return {name: dict(zip(each["step"], each["value"], strict=True)) for name, each in rows}


def test_a_dense_run_says_nothing(model, store_path, read):
    train(model, store_path, 3)
    assert scalars(read()) == {}


def test_buffers_of_torchs_pruning(model, store_path, read):
    layers = linears(model)
    for layer in layers:
        prune.l1_unstructured(layer, "weight", 0.5)
    total, parameters = sum(m.weight.numel() for m in layers), sum(p.numel() for p in model.parameters())
    masked = layers[0].weight_mask

    def flip(step):
        if step == 1:  # after the update of step 1, before it closes
            masked.view(-1)[:10] = 1 - masked.view(-1)[:10]

    before = int(masked.view(-1)[:10].sum())
    train(model, store_path, 3, flip)
    found = scalars(read())
    kept = sum(int(m.weight_mask.sum()) for m in layers) - (10 - 2 * before)
    assert found["mask_density"][0] == pytest.approx(kept / total)
    assert list(found["mask_flip_rate"].values()) == pytest.approx([0, 10 / total, 0])
    assert list(found["mask_flip_rate_initial"].values()) == pytest.approx([0, 10 / total, 10 / total])
    assert found["active_parameters"][0] == parameters - total + kept


def test_exact_zeros_that_come_in_training(model, store_path, read):
    layers = linears(model)
    total, parameters = sum(m.weight.numel() for m in layers), sum(p.numel() for p in model.parameters())
    masks = [torch.rand(m.weight.shape, generator=torch.Generator().manual_seed(i)) < 0.5 for i, m in enumerate(layers)]

    def prune_from_2(step):
        with torch.no_grad():
            for layer, mask in zip(layers, masks, strict=True):
                if step >= 2:
                    layer.weight.masked_fill_(mask, 0)

    train(model, store_path, 5, prune_from_2)
    found = scalars(read())
    active = parameters - sum(int(mask.sum()) for mask in masks)
    counts = found["active_parameters"]
    assert (counts[1], counts[3], counts[4]) == (parameters, active, active)
    assert counts[2] == pytest.approx(active, rel=0.05)  # the step at which the sample shows them
    assert found["mask_flip_rate"] == {3: 0.0, 4: 0.0}
    assert found["mask_density"][4] == pytest.approx(1 - sum(int(m.sum()) for m in masks) / total)
    assert "zero_weights" not in found
    average = average_parameters(read().scalars())["average"].iloc[-1]
    area = parameters * 1 + (parameters + counts[2]) / 2 + (counts[2] + active) / 2 + active
    assert average == pytest.approx(area / 4)


def test_a_matrix_that_starts_at_zero_is_dense(model, store_path, read):
    nn.init.zeros_(model.blocks[0].mlp.down.weight)
    train(model, store_path, 2)
    assert scalars(read()) == {}


def test_pruning_put_on_in_the_middle_is_seen(model, store_path, read):
    def put_on(step):
        if step == 0:
            prune.l1_unstructured(model.blocks[1].mlp.up, "weight", 0.25)

    optimizer_sees_the_same = model.blocks[1].mlp.up.weight
    train(model, store_path, 3, put_on)
    assert model.blocks[1].mlp.up.weight_orig is optimizer_sees_the_same
    size, total = (
        optimizer_sees_the_same.numel(),
        sum(m.weight_orig.numel() if hasattr(m, "weight_orig") else m.weight.numel() for m in linears(model)),
    )
    assert scalars(read())["mask_density"][0] == pytest.approx(1 - round(size / 4) / total)
    assert not any(math.isnan(v) for each in scalars(read()).values() for v in each.values())


def test_a_model_that_becomes_half_precision_is_looked_at_where_it_is_now(model):
    seen = MaskWatch(model)
    sites = find_sites(model)
    assert float(seen.look(sites)["zero_weights"]) == 0
    model.to(torch.bfloat16)
    with torch.no_grad():
        for layer in linears(model):
            layer.weight.view(-1)[::2] = 0
    assert 0.4 < float(seen.look(sites)["zero_weights"]) < 0.6
    assert seen._matrices[0].weight.is_meta  # the weights it has seen before are not kept alive
