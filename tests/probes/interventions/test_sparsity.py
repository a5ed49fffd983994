"""Curves of loss against sparsity: equal to those of models that torch pruned, and complete."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES
from pruning import contexts, traced
from torch import nn
from torch.nn.utils import prune

from depthscope.probes.interventions import INTERVENTIONS, as_holdout, paired, sequence_losses
from depthscope.probes.interventions.curves import CURVES, FINE, GRID, refinement
from depthscope.probes.sites import find_sites
from depthscope.probes.untouched import untouched
from depthscope.store import SparsityLayer, SparsityPoint

KIND = INTERVENTIONS["sparsity"]


def measured(context):
    with untouched(context.model):
        return KIND.measure(context)


def points(records, **wanted) -> dict[float, SparsityPoint]:
    found = [r for r in records if isinstance(r, SparsityPoint)]
    return {r.sparsity: r for r in found if all(getattr(r, name) == value for name, value in wanted.items())}


@pytest.fixture(scope="module")
def decoder():
    from depthscope.sample_runs import build_model

    torch.set_num_threads(1)
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    ids = torch.randint(64, (6, 12), generator=torch.Generator().manual_seed(3))
    make = contexts(model, find_sites(model), as_holdout(ids))
    return model, ids, make, measured(make(initial=True))


def test_a_global_curve_is_that_of_copies_pruned_by_torch(decoder):
    model, ids, _, records = decoder
    curve = points(records, pattern="unstructured", scope="global", weights="current")
    base = sequence_losses(model, as_holdout(ids))
    for sparsity, point in curve.items():
        rival = copy.deepcopy(model)
        linears = [(m, "weight") for block in rival.blocks for m in block.modules() if isinstance(m, nn.Linear)]
        prune.global_unstructured(linears, pruning_method=prune.L1Unstructured, amount=sparsity)
        losses = sequence_losses(rival, as_holdout(ids))
        assert point.loss == losses.mean
        assert point.loss_se == paired(base, losses)[1]


def test_every_curve_is_there_from_zero_on(decoder):
    _, ids, _, records = decoder
    base = points(records, pattern="unstructured", scope="global", weights="current")[0.0]
    assert base.loss_se == 0
    assert base.tokens == ids.shape[0] * (ids.shape[1] - 1)
    for curve in CURVES:
        found = points(records, pattern=curve.pattern, scope=curve.scope, ranking=curve.ranking, weights="current")
        assert found[0.0].loss == base.loss
        if curve.pattern == "unstructured":
            assert {0.0, *curve.grid} <= set(found)
            assert len(found) == 1 + len(curve.grid) + FINE * curve.refined
        else:
            kept, size = map(int, curve.pattern.split(":"))
            # 32 inputs divide; the MLP's 88 do too
            assert sorted(found) == [0.0, pytest.approx(1 - kept / size)]
    assert {r.definition for r in records if isinstance(r, SparsityPoint)} == {"oneshot_ce"}


def test_the_control_is_the_curve_of_the_weights_at_the_start(decoder):
    *_, make, records = decoder
    assert [*points(records, weights="init")] == [*points(records, weights="current")]
    assert points(measured(make(step=7)), weights="init") == {}


def test_shares_of_every_matrix_add_up(decoder):
    model, _, _, records = decoder
    layers = [r for r in records if isinstance(r, SparsityLayer)]
    sizes = {
        (layer, path): module.weight.numel()
        for layer, block in enumerate(model.blocks, start=1)
        for path, module in block.named_modules()
        if isinstance(module, nn.Linear)
    }
    assert len(layers) == len(sizes) * len(GRID)
    for sparsity in GRID:
        pruned = sum(r.pruned_share * sizes[r.layer, r.matrix] for r in layers if r.threshold == sparsity)
        assert pruned == pytest.approx(round(sparsity * sum(sizes.values())))


def test_it_costs_what_it_said(decoder):
    _, _, make, _ = decoder
    context = make(step=1)
    make.spent.clear()
    measured(context)
    total = sum(cost.calls for cost in make.spent), sum(cost.blocks for cost in make.spent)
    assert total == pytest.approx((KIND.cost(context).calls, KIND.cost(context).blocks))


def test_the_grid_is_finer_where_the_loss_leaves_and_after_the_knee():
    losses = [2.0, 2.0, 2.01, 2.1, 2.2, 2.3, 2.5, 3.0, 5.0, 9.0]
    assert refinement([0.0, *GRID], losses) == [0.225, 0.25, 0.275, 0.725, 0.75, 0.775]
    steep = [2.0, 2.0, 2.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    assert len(refinement([0.0, *GRID], steep)) == FINE
    flat = refinement([0.0, *GRID], [2.0] * 10)
    assert flat == [0.725, 0.75, 0.775, 0.825, 0.85, 0.875]
    assert all(a < b for a, b in pairwise(flat))


def fourth_power(model: nn.Module, batch) -> torch.Tensor:
    return model(**batch).last_hidden_state.float().pow(4).mean()  # its mean square is that of its last norm


def next_token(model: nn.Module, batch) -> torch.Tensor:
    logits = model(**batch).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten())


@pytest.mark.parametrize(
    ("family", "dtype"), [("gpt2", torch.float32), ("llama", torch.bfloat16), ("bert", torch.float32)]
)
def test_families_are_measured_and_left_as_they_were(family, dtype):
    model, sites = traced(family)
    model.to(dtype)
    before = copy.deepcopy(model.state_dict())
    loss_fn = fourth_power if family == "bert" else next_token
    make = contexts(model, sites, as_holdout(FAMILIES[family].arguments, loss_fn))
    records = measured(make())
    curve = points(records, pattern="unstructured", scope="global")
    assert len(curve) == 1 + len(GRID) + FINE
    assert len({point.loss for point in curve.values()}) > len(GRID) - 2  # bfloat16 may round two to one
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("forward", [1, 3, 12])  # untouched, in Wanda's inputs, in a curve
def test_ctrl_c_leaves_training_where_it_was(tmp_path, forward):
    from depthscope.probes import watch
    from depthscope.sample_runs import build_model

    torch.set_num_threads(1)
    model = build_model("power", layers=2, width=16, heads=2, vocab=64, seed=1)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(64, (2, 9), generator=torch.Generator().manual_seed(3))
    with watch(model, store=tmp_path / "runs", run="a", example_inputs=ids) as probe:
        model(ids).square().mean().backward()
        optimizer.step()
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
        grads = [p.grad.clone() for p in model.parameters()]
        count = iter(range(1, 1000))

        def interrupt(*args):
            if next(count) == forward:
                raise KeyboardInterrupt

        handle = model.blocks[1].mlp.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            probe.evaluate(ids, only=["sparsity"])
        handle.remove()
        after = model.state_dict(), optimizer.state_dict(), torch.get_rng_state()
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        assert all(module.training for module in model.modules())
        assert all(torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), grads, strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
