"""Which weights are pruned, and that exactly these are: against torch's own pruning and by hand."""

import copy
from itertools import pairwise

import pytest
import torch
from pruning import smallest_masks, traced
from torch import nn
from torch.nn.utils import prune

from depthscope.probes.interventions import matrices as matrices_module
from depthscope.probes.interventions import thresholds as thresholds_module
from depthscope.probes.interventions.masks import apply, group_masks
from depthscope.probes.interventions.matrices import Matrix, prunable
from depthscope.probes.interventions.ranking import RANKINGS, input_sizes
from depthscope.probes.interventions.thresholds import thresholds
from depthscope.probes.sites import find_sites
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

MAGNITUDE = RANKINGS["magnitude"]


def matrix(rows: list[list[float]] | torch.Tensor, *, transposed: bool = False, name: str = "w") -> Matrix:
    return Matrix("main", 1, name, torch.as_tensor(rows, dtype=torch.float32), transposed, ())


def kept(mask, of: Matrix) -> list:
    weight = of.weight.clone()
    apply(mask, of, weight)
    return weight


def test_global_takes_the_smaller_matrix_and_matrix_half_of_each():
    small, large = matrix([[0.1, 0.2, 0.3, 0.4]]), matrix([[1.0, 2.0, 3.0, 4.0]])
    (whole,) = smallest_masks([small, large], [0.5], scope="global")
    assert [mask.pruned for mask in whole] == [4, 0]
    (each,) = smallest_masks([small, large], [0.5], scope="matrix")
    assert torch.equal(kept(each[0], small), torch.tensor([[0.0, 0.0, 0.3, 0.4]]))
    assert torch.equal(kept(each[1], large), torch.tensor([[0.0, 0.0, 3.0, 4.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("scope", ["global", "matrix"])
@pytest.mark.parametrize("ranking", sorted(RANKINGS))
@pytest.mark.parametrize("few", [0, 1 << 16])
def test_zeros_are_exact_and_masks_are_nested(monkeypatch, few, ranking, scope, dtype):
    monkeypatch.setattr(thresholds_module, "_FEW", few)
    monkeypatch.setattr(matrices_module, "CHUNK", 64)  # many chunks, none a multiple of 8 long
    generator = torch.Generator().manual_seed(0)
    shapes = ((7, 13), (13, 5), (3, 4, 6))
    several = [
        Matrix("main", i, "w", torch.randn(s, generator=generator).to(dtype), False, ()) for i, s in enumerate(shapes)
    ]
    grid = [0.0, 0.05, 0.1, 0.5, 0.51, 0.9, 1.0]
    zeros = []
    for sparsity, found in zip(grid, smallest_masks(several, grid, scope=scope, ranking=ranking), strict=True):
        weights = [kept(mask, of) for mask, of in zip(found, several, strict=True)]
        zeros.append(torch.cat([(w == 0).flatten() for w in weights]))
        sizes = [of.numel for of in several]
        want = sum(round(sparsity * n) for n in ([sum(sizes)] if scope == "global" else sizes))
        assert int(zeros[-1].sum()) == want == sum(mask.pruned for mask in found)
    assert all(bool((a <= b).all()) for a, b in pairwise(zeros))


def test_equal_scores_are_given_out_in_order_and_never_too_many():
    same = matrix([[1.0] * 4, [-1.0] * 4])
    (found,) = smallest_masks([same], [0.375], scope="global")
    assert torch.equal(kept(found[0], same), torch.tensor([[0.0, 0, 0, 1], [-1, -1, -1, -1]]))


@pytest.mark.parametrize("few", [0, 1 << 16])
def test_thresholds_are_those_of_a_sort(monkeypatch, few):
    monkeypatch.setattr(thresholds_module, "_FEW", few)
    scores = torch.cat([torch.rand(5000, generator=torch.Generator().manual_seed(1)), torch.zeros(9)])
    ordered = scores.sort().values.view(torch.int32)
    counts = [0, 1, 9, 10, 2500, 5008, 5009]
    for k, found in zip(counts, thresholds(lambda: [scores], counts), strict=True):
        bits = scores.view(torch.int32)
        assert int((bits < found.bits).sum()) + found.ties == k
        if k:
            assert found.bits == int(ordered[k - 1])


def test_two_of_four_keeps_the_two_largest_of_each_group_along_the_input():
    row = matrix([[0.1, -0.5, 0.3, 0.2]])
    assert torch.equal(kept(group_masks([row], MAGNITUDE, {}, "2:4")[0], row), torch.tensor([[0.0, -0.5, 0.3, 0.0]]))
    column = matrix([[0.1], [-0.5], [0.3], [0.2]], transposed=True)
    assert torch.equal(
        kept(group_masks([column], MAGNITUDE, {}, "2:4")[0], column), torch.tensor([[0.0], [-0.5], [0.3], [0.0]])
    )


def test_the_first_number_is_what_is_kept():
    row = matrix([[0.1, -0.5, 0.3, 0.2]])
    assert torch.equal(kept(group_masks([row], MAGNITUDE, {}, "1:4")[0], row), torch.tensor([[0.0, -0.5, 0.0, 0.0]]))
    assert torch.equal(kept(group_masks([row], MAGNITUDE, {}, "3:4")[0], row), torch.tensor([[0.0, -0.5, 0.3, 0.2]]))


def test_what_does_not_fill_a_group_is_kept():
    rows = matrix([[4.0, 3, 2, 1, 0.1, 0.2]])
    (found,) = group_masks([rows], MAGNITUDE, {}, "2:4")
    assert torch.equal(kept(found, rows), torch.tensor([[4.0, 3, 0, 0, 0.1, 0.2]]))
    assert found.pruned == 2


@pytest.mark.parametrize("pattern", ["4:2", "0:4", "2", "a:b", "2:4:8", "4:4"])
def test_a_pattern_that_is_none_is_refused_in_one_line(pattern):
    with pytest.raises(DepthscopeError, match="expected a pattern N:M"):
        group_masks([matrix([[1.0, 2.0]])], MAGNITUDE, {}, pattern)


def test_masks_equal_torchs_global_unstructured():
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    matrices = prunable(model, find_sites(model))
    assert len(matrices) == 3 * 7
    for amount in (0.1, 0.5, 0.9):
        rival = copy.deepcopy(model)
        linears = [(m, "weight") for path, m in rival.named_modules() if isinstance(m, nn.Linear) and "block" in path]
        prune.global_unstructured(linears, pruning_method=prune.L1Unstructured, amount=amount)
        (found,) = smallest_masks(matrices, [amount], scope="global")
        for (module, _), mask, of in zip(linears, found, matrices, strict=True):
            assert torch.equal(kept(mask, of), module.weight)


def test_wanda_weighs_by_the_inputs():
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    of = Matrix("main", 1, "w", layer.weight.detach(), False, (matrices_module.Place("b", layer, "weight"),))
    x = torch.tensor([[[4.0, 0.0, 2.0, 1.0], [3.0, 0.5, 1.0, 1.0]]])
    inputs = input_sizes((of,), lambda: layer(x))
    assert torch.allclose(inputs["main", 1, "w"], x[0].square().mean(0).sqrt())
    (found,) = smallest_masks([of], [0.5], scope="matrix", ranking="wanda", inputs=inputs)
    assert torch.equal(kept(found[0], of), torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    assert not layer._forward_pre_hooks


FOUND = {
    "gpt2": (3 * 4, {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
    "llama": (3 * 7, {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"}),
    "bert": (3 * 6, {"attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"}),
    "t5": (2 * 3 * 4 + 3 * 4 + 2 * 3 * 2, {"layer.0.SelfAttention.q", "layer.1.DenseReluDense.wi"}),
    "albert": (6, {"albert_layers.0.attention.query", "albert_layers.0.ffn"}),
    "mixtral": (3 * 7, {"mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.gate"}),
    "torch.nn.TransformerEncoder": (3 * 4, {"self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2"}),
    "nanoGPT": (3 * 4, {"attn.c_attn", "mlp.c_fc"}),
}


@pytest.mark.parametrize("family", sorted(FOUND))
def test_matrices_of_a_family(family):
    model, sites = traced(family)
    matrices = prunable(model, sites)
    count, some = FOUND[family]
    assert len(matrices) == count
    assert some <= {of.name for of in matrices}
    assert {of.transposed for of in matrices} == {family == "gpt2"}


def blocks_model() -> nn.Module:
    return build_model("pre", layers=2, width=16, heads=2, vocab=16, seed=1)


def test_what_the_head_shares_is_left_alone():
    model = blocks_model()
    model.head.weight = model.blocks[1].attn.out.weight
    names = {(of.layer, of.name) for of in prunable(model, find_sites(model))}
    assert (2, "attn.out") not in names
    assert len(names) == 2 * 7 - 1


def test_a_matrix_of_two_blocks_is_one_with_two_places():
    model = blocks_model()
    model.blocks[1].attn.out.weight = model.blocks[0].attn.out.weight
    matrices = {(of.layer, of.name): of for of in prunable(model, find_sites(model))}
    assert len(matrices) == 2 * 7 - 1
    assert [place.block for place in matrices[1, "attn.out"].places] == ["blocks.0", "blocks.1"]


def test_weights_under_torchs_own_wrappers_keep_their_names():
    model = blocks_model()
    plain = [of.name for of in prunable(model, find_sites(model))]
    prune.l1_unstructured(model.blocks[0].attn.q, "weight", 0.5)
    nn.utils.parametrizations.orthogonal(model.blocks[0].attn.k)
    assert sorted(of.name for of in prunable(model, find_sites(model))) == sorted(plain)


def test_sharded_weights_are_refused_in_one_line():
    model = blocks_model()
    model.blocks[0].attn.q.weight.placements = ("Shard(0)",)
    with pytest.raises(DepthscopeError, match="expected whole weights to prune, found sharded ones"):
        prunable(model, find_sites(model))


def test_blocks_without_matrices_are_said():
    model = blocks_model().to(torch.float32)
    for block in model.blocks:
        block.attn, block.mlp = nn.Identity(), nn.Identity()
    with pytest.raises(DepthscopeError, match="found none"):
        prunable(model, find_sites(model))
