"""Parameters of every kind have their numbers, and none keeps those of the others from being read."""

import pytest
import torch
from loops import batches, loss_of, train
from torch import nn

from depthscope.probes import watch
from depthscope.sample_runs import build_model

SITES = ("block", "embed", "final_norm", "head", "other")


def norms_of(model, store_path, read, optimizer=None):
    """Total gradient norm as autograd has it and as it was recorded, of one step."""
    optimizer = optimizer or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with watch(model, store=store_path, run="r", every=1):
        loss_of(model, batches(1)[0]).backward()
        grads = [p.grad.to_dense() for p in model.parameters() if p.grad is not None]
        expected = sum(g.abs().double().square().sum().item() for g in grads) ** 0.5
        optimizer.step()
        optimizer.zero_grad()
    assert read().events(runs=["r"]).empty
    stats = read().layer_stats(runs=["r"], columns=["param_grad_norm", "param_norm", "update_ratio"])
    return expected, read().steps(runs=["r"]).grad_norm.item(), stats[stats.site.isin(SITES)]


class WithScale(nn.Module):
    """A model whose output is scaled by a parameter of another kind."""

    def __init__(self, model, scale):
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, ids_BT):
        return self.model(ids_BT) * self.scale.abs().mean()


def test_complex_parameters_count_with_both_their_parts(model, store_path, read):
    scale = nn.Parameter(torch.full((8192,), 3 + 4j))
    expected, measured, stats = norms_of(WithScale(model, scale), store_path, read)
    assert measured == pytest.approx(expected, rel=1e-5)
    other = stats[stats.site == "other"]
    assert other.param_norm.item() == pytest.approx(5 * 8192**0.5, rel=1e-3)
    assert 0 < other.update_ratio.item() < 1


def test_a_sparse_gradient_counts_with_what_it_holds(model, store_path, read):
    model.embed = nn.Embedding.from_pretrained(model.embed.weight.detach().clone(), freeze=False, sparse=True)
    expected, measured, stats = norms_of(model, store_path, read)
    assert measured == pytest.approx(expected, rel=1e-5)
    assert stats[stats.site == "embed"].param_grad_norm.item() > 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float8_e4m3fn])
def test_what_quantization_packed_is_left_out(model, store_path, read, dtype):
    size = model.blocks[0].mlp.down.weight.norm().item()
    for block in model.blocks:
        block.packed = nn.Parameter(torch.ones(99).to(dtype), requires_grad=False)
    expected, measured, stats = norms_of(model, store_path, read)
    assert measured == pytest.approx(expected, rel=1e-5)
    assert (stats[stats.site == "block"].param_norm > size).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradients_of_every_width_have_norms(model, store_path, read, dtype):
    model = model.to(dtype)
    model.head.weight.register_hook(lambda grad: torch.full_like(grad, 300.0))  # 90,000 is not in float16
    expected, measured, _ = norms_of(model, store_path, read)
    assert measured == pytest.approx(expected, rel=1e-3)


def test_adapters_beside_frozen_weights(model, store_path, read):
    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.down, self.up = nn.Linear(base.in_features, 2, bias=False), nn.Linear(2, base.out_features, bias=False)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    model.requires_grad_(False)
    for block in model.blocks:
        block.mlp.down = Adapted(block.mlp.down)
    expected, measured, stats = norms_of(model, store_path, read)
    assert measured == pytest.approx(expected, rel=1e-5)
    blocks = stats[stats.site == "block"]
    assert (blocks.param_grad_norm > 0).all() and (blocks.update_ratio > 0).all()
    assert stats[stats.site == "embed"].param_grad_norm.isna().all()


def test_an_optimizer_that_trains_more_than_the_model(model, store_path, read):
    more = nn.Linear(4, 4)
    optimizer = torch.optim.SGD([*model.parameters(), *more.parameters()], lr=0.1)
    with watch(model, store=store_path, run="r", every=1) as probe:
        for ids_BT in batches(3):
            loss_of(model, ids_BT).backward()
            optimizer.step()
            loads = probe._session.measurement._reader._foreign
            assert loads == {id(p) for p in more.parameters()}
            optimizer.zero_grad()
    assert (read().layer_stats(runs=["r"], site="block").update_ratio > 0).all()


def test_weights_that_are_replaced_on_the_way_are_read_anew(model, store_path, read):
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 2, probe)
        model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()}, assign=True)
        doubled = model.blocks[0].attn.out.weight.detach().norm().item()
        train(model, 1, probe, lr=0.0)
    stats = read().layer_stats(runs=["r"], site="attn", layers=[1], columns=["param_norm"]).sort_values("step")
    assert stats.param_norm.iloc[2] > doubled
    assert stats.param_norm.iloc[2] == pytest.approx(2 * stats.param_norm.iloc[1], rel=1e-5)


def test_a_tied_weight_counts_once(store_path, read):
    model = build_model("pre", layers=2, width=32, heads=2, vocab=64, seed=1, tied=True)
    assert model.head.weight is model.embed.weight
    expected, measured, stats = norms_of(model, store_path, read)
    assert measured == pytest.approx(expected, rel=1e-5)
    sites = stats.groupby("site").param_norm.apply(lambda norms: norms.astype(float).pow(2).sum() ** 0.5)
    assert sites["embed"] == pytest.approx(model.embed.weight.norm().item(), rel=1e-2)
    assert "head" not in sites
