"""A forward with pruned weights: equal to that of a pruned copy, and without a trace, whatever interrupts it."""

import copy
import weakref

import pytest
import torch
from families import FAMILIES
from pruning import smallest_masks, traced, zeroed

from depthscope.probes.batch import call
from depthscope.probes.interventions import pruned as pruned_module
from depthscope.probes.interventions.masks import apply, group_masks
from depthscope.probes.interventions.matrices import prunable
from depthscope.probes.interventions.pruned import pruned
from depthscope.probes.interventions.ranking import RANKINGS
from depthscope.probes.sites import find_sites
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

MAGNITUDE = RANKINGS["magnitude"]
FAMILY_NAMES = ("albert", "bert", "gpt2", "llama", "mixtral", "nanoGPT", "t5", "torch.nn.TransformerEncoder")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_pruned_forward_is_that_of_a_pruned_copy(family):
    model, sites = traced(family)
    arguments = FAMILIES[family].arguments
    matrices = prunable(model, sites)
    before = copy.deepcopy(model.state_dict())
    found = group_masks(matrices, MAGNITUDE, {}, "2:4")
    rival = zeroed(model, sites, found)
    with torch.no_grad(), pruned(model, matrices, found):
        got = call(model, arguments)
    with torch.no_grad():
        want, plain = call(rival, arguments), call(model, arguments)
    first, second, third = (next(t for t in _tensors(o) if t.is_floating_point()) for o in (got, want, plain))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def _tensors(output):
    values = [output] if isinstance(output, torch.Tensor) else output.values()
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["block 2", "between forwards", "in a masked copy"])
def test_whatever_interrupts_leaves_the_weights_themselves(monkeypatch, error, place):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1).eval()
    matrices = prunable(model, find_sites(model))
    before = {name: (id(p), p._version, p.detach().clone()) for name, p in model.named_parameters()}
    (found,) = smallest_masks(matrices, [0.5], scope="global")
    ids = torch.zeros(1, 4, dtype=torch.int64)

    def fail(*args):
        raise error("stop")

    if place == "in a masked copy":
        calls = iter(range(100))
        monkeypatch.setattr(pruned_module, "apply", lambda *a: fail() if next(calls) == 9 else apply(*a))
    handle = model.blocks[1].mlp.register_forward_pre_hook(fail) if place == "block 2" else None
    with pytest.raises(error), torch.no_grad(), pruned(model, matrices, found):
        model(ids)
        fail()
    if handle is not None:
        handle.remove()
    after = {name: (id(p), p._version, p) for name, p in model.named_parameters()}
    assert {n: v[:2] for n, v in after.items()} == {n: v[:2] for n, v in before.items()}
    assert all(torch.equal(after[name][2], before[name][2]) for name in before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_autocast_sees_the_masked_weights():
    model = build_model("pre", layers=2, width=32, heads=2, vocab=64, seed=1).eval()
    matrices = prunable(model, find_sites(model))
    (found,) = smallest_masks(matrices, [0.9], scope="global")
    ids = torch.arange(8).view(1, 8)
    rival = zeroed(model, find_sites(model), found)
    with torch.autocast("cpu", torch.bfloat16):
        plain = model(ids)  # with gradients: autocast now keeps low-precision copies of the weights
        with torch.no_grad(), pruned(model, matrices, found):
            masked = model(ids)
        again = model(ids)
        want = rival(ids)
    assert torch.equal(masked, want)
    assert torch.equal(plain, again)
    assert not torch.equal(masked, plain)


def test_a_block_that_does_not_run_is_said():
    model = build_model("pre", layers=2, width=32, heads=2, vocab=64)
    matrices = prunable(model, find_sites(model))
    found = group_masks(matrices, MAGNITUDE, {}, "2:4")
    with pytest.raises(DepthscopeError, match="to run in a held-out forward"), pruned(model, matrices, found):
        pass


def test_what_is_kept_is_a_bit_a_weight_and_the_copies_of_one_block(monkeypatch):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1).eval()
    matrices = prunable(model, find_sites(model))
    (found,) = smallest_masks(matrices, [0.5], scope="global")
    assert sum(mask.nbytes for mask in found) == sum(of.numel for of in matrices) / 8
    block = sum(of.weight.nbytes for of in matrices if of.layer == 1)
    alive, most = [], []

    def masked(weight, mask):
        copy = plain(weight, mask)
        alive.append(weakref.ref(copy.untyped_storage()))
        most.append(sum(each().nbytes() for each in alive if each() is not None))
        return copy

    plain = pruned_module._masked
    monkeypatch.setattr(pruned_module, "_masked", masked)
    with torch.no_grad(), pruned(model, matrices, found):
        model(torch.zeros(1, 4, dtype=torch.int64))
    assert len(most) == len(matrices)
    assert max(most) == block
