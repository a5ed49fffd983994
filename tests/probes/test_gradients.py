"""Gradients and updates: against autograd, torch's own total norm, and the loop's clipping."""

import pandas as pd
import pytest
import torch
from loops import batches, loss_of, train
from torch import nn
from torch.nn.utils import clip_grad_norm_

from depthscope.probes import watch
from depthscope.probes.metrics import SAMPLED
from depthscope.probes.weight_sample import sampled
from depthscope.sample_runs import build_model

WHOLE = ("block", "embed", "final_norm", "head", "other")


def one_step(model, store_path, ids_BT, *, clip=None, run="r", optimizer=None, mask=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, store=store_path, run=run, every=1, mask=mask):
        loss_of(model, ids_BT).backward()
        total = clip_grad_norm_(model.parameters(), float("inf") if clip is None else clip).item()
        optimizer.step()
        optimizer.zero_grad()
    return total


def test_squares_of_all_sites_sum_to_the_total_norm(model, store_path, read):
    total = one_step(model, store_path, batches(1)[0])
    stats = read().layer_stats(runs=["r"], columns=["param_grad_norm"])
    squares = stats[stats.site.isin(WHOLE)].param_grad_norm.astype(float) ** 2
    assert squares.sum() == pytest.approx(total**2, rel=1e-6)
    assert read().steps(runs=["r"]).grad_norm.item() == pytest.approx(total, rel=1e-6)


def test_block_and_branch_norms_equal_autograds(model, store_path, read):
    ids_BT = batches(1)[0]
    one_step(model, store_path, ids_BT)
    loss_of(fresh := build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1), ids_BT).backward()
    stats = read().layer_stats(runs=["r"], columns=["param_grad_norm"]).set_index(["site", "layer"]).param_grad_norm
    for layer, block in enumerate(fresh.blocks, start=1):
        for site, module in (("block", block), ("attn", block.attn), ("mlp", block.mlp)):
            expected = torch.cat([p.grad.flatten() for p in module.parameters()]).norm().item()
            assert stats[site, layer] == pytest.approx(expected, rel=1e-5)


def test_a_nan_in_one_gradient_stays_in_its_sites(model, store_path, read):
    weight = next(model.blocks[1].mlp.parameters())
    weight.register_hook(lambda grad: grad.index_fill(0, torch.tensor([0]), torch.nan))
    with watch(model, store=store_path, run="r", every=1):
        loss_of(model, batches(1)[0]).backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    stats = read().layer_stats(runs=["r"], columns=["param_grad_norm"])
    spoilt = stats[stats.param_grad_norm.isna() & stats.site.isin([*WHOLE, "attn", "mlp"])]
    assert sorted(zip(spoilt.site, spoilt.layer, strict=True)) == [("block", 2), ("mlp", 2)]


@pytest.mark.parametrize("clip", [1e-3, 0.1, 1e6])
def test_norms_are_those_before_torchs_clipping(store_path, read, clip):
    for run, limit in (("free", None), ("clipped", clip)):
        one_step(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1), store_path, batches(1)[0],
                 clip=limit, run=run)  # fmt: skip
    frames = [read().layer_stats(runs=[run], columns=["param_grad_norm"]) for run in ("free", "clipped")]
    free, clipped = (f.sort_values(["site", "layer"]).param_grad_norm.dropna().tolist() for f in frames)
    assert clipped == pytest.approx(free, rel=1e-5)
    step = read().steps(runs=["clipped"])
    assert step.clip_factor.item() == pytest.approx(min(1, clip / step.grad_norm.item()), rel=1e-4)


def test_total_norm_is_known_on_every_step_where_the_loop_clips(model, store_path, read):
    with watch(model, store=store_path, run="r", every=4) as probe:
        train(model, 7, probe, clip=0.5)
    steps = read().steps(runs=["r"]).sort_values("step")
    assert steps.grad_norm.notna().all()
    assert steps.clip_factor.notna().all()


@pytest.mark.parametrize("copies", [2, 3])
def test_gradient_norms_do_not_depend_on_the_batch_size(store_path, read, copies):
    ids_BT = batches(1)[0]
    one_step(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1), store_path, ids_BT, run="once")
    one_step(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1), store_path,
             ids_BT.repeat(copies, 1), run="repeated")  # fmt: skip
    for metric in ("param_grad_norm", "act_grad_norm", "variance", "block_influence"):
        frames = [read().layer_stats(runs=[run], columns=[metric]) for run in ("once", "repeated")]
        once, repeated = (f.sort_values(["site", "layer"])[metric].dropna().tolist() for f in frames)
        assert repeated == pytest.approx(once, rel=1e-5, abs=1e-7), metric


def test_activation_gradients_equal_autograds(model, store_path, read):
    ids_BT = batches(1)[0]
    one_step(model, store_path, ids_BT)
    fresh = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    streams = []

    def keep(module, args, out):
        out.retain_grad()
        streams.append(out)

    for block in fresh.blocks:
        block.register_forward_hook(keep)
    loss_of(fresh, ids_BT).backward()
    stats = read().layer_stats(runs=["r"], site="resid_post", columns=["act_grad_norm"]).set_index("layer")
    for layer, stream in enumerate(streams, start=1):
        assert stats.act_grad_norm[layer] == pytest.approx(stream.grad.norm(dim=-1).sum().item(), rel=1e-5)


def test_update_ratio_is_the_relative_change_of_the_weights(model, store_path, read):
    before = [p.detach().clone() for p in model.blocks[1].parameters()]
    one_step(model, store_path, batches(1)[0])
    after = list(model.blocks[1].parameters())
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)]).norm().item()
    size = torch.cat([a.flatten() for a in after]).norm().item()
    stats = read().layer_stats(runs=["r"], site="block", columns=["update_ratio", "param_norm"]).set_index("layer")
    assert stats.update_ratio[2] == pytest.approx(moved / size, rel=1e-4)  # small matrices are read whole
    assert stats.param_norm[2] == pytest.approx(size, rel=1e-6)


def test_frozen_layers_have_a_norm_but_no_gradient(model, store_path, read):
    model.blocks[0].requires_grad_(False)
    one_step(model, store_path, batches(1)[0])
    stats = read().layer_stats(runs=["r"], site="block").set_index("layer")
    assert stats.param_grad_norm.isna().tolist() == [True, False, False]
    assert stats.param_norm.notna().all()


def test_layers_cut_off_from_the_loss_have_a_gradient_of_zero(model, store_path, read):
    for branch in (model.blocks[0].attn.out, model.blocks[0].mlp.down):
        branch.register_forward_hook(lambda module, inputs, output: output.detach())
    one_step(model, store_path, batches(1)[0])
    stats = read().layer_stats(runs=["r"], site="block").set_index("layer")
    assert stats.param_grad_norm[1] == 0 and (stats.param_grad_norm[[2, 3]] > 0).all()


def test_branches_whose_output_matrices_are_zero_leave_the_stream_alone(model, store_path, read):
    with torch.no_grad():
        model.blocks[1].attn.out.weight.zero_()
        model.blocks[1].mlp.down.weight.zero_()
    one_step(model, store_path, batches(1)[0])
    row = read().layer_stats(runs=["r"], site="block", layers=[2]).iloc[0]
    assert abs(row.block_influence) < 1e-6
    assert row.branch_ratio == 0


def test_padding_changes_no_number(store_path, read):
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(64, (1, n), generator=generator) for n in (5, 9)]
    padded = nn.utils.rnn.pad_sequence([r[0] for r in rows], batch_first=True)
    real_BT = torch.tensor([[i < n for i in range(9)] for n in (5, 9)])
    runs = {"alone": [(row, None) for row in rows], "padded": [(padded, lambda args, kwargs: real_BT)]}
    for run, parts in runs.items():
        model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, store=store_path, run=run, every=1, mask=parts[0][1]):
            for ids_BT, _ in parts:
                logits_BTV = model(ids_BT)
                keep = real_BT if run == "padded" else torch.ones_like(ids_BT, dtype=torch.bool)
                nn.functional.cross_entropy(logits_BTV[keep], ids_BT[keep], reduction="sum").backward()
            optimizer.step()
    skip = ["run", "variance_median", "median_abs"]
    alone, padded_stats = (
        read().layer_stats(runs=[run]).drop(columns=skip).sort_values(["site", "layer"]).reset_index(drop=True)
        for run in runs
    )
    pd.testing.assert_frame_equal(alone, padded_stats, rtol=1e-5, atol=1e-7)
    assert read().steps(runs=["padded"]).tokens.item() == 14


@pytest.mark.parametrize("shape", [(600, 384), (50, 1024), (9000,), (3, 1), (0, 8)])
def test_a_sample_of_a_parameter_is_a_view_of_entries_from_all_over_it(shape):
    weight = nn.Parameter(torch.arange(float(torch.Size(shape).numel())).reshape(shape))
    with torch.no_grad():
        entries = sampled(weight, SAMPLED).long().flatten()
    assert len(entries) == min(weight.numel(), len(entries)) <= SAMPLED
    assert len(set(entries.tolist())) == len(entries)  # each once
    if weight.numel() > SAMPLED:
        assert len(entries) > 0.9 * SAMPLED
        assert entries[0] == 0 and entries[-1] > 0.99 * weight.numel()
        assert sampled(weight, SAMPLED).data_ptr() == weight.data_ptr()
    if len(shape) == 2 and weight.numel() > SAMPLED:
        assert len(set((entries % shape[1]).tolist())) == shape[1]  # every column


def test_the_sampled_update_is_that_of_the_whole_matrix(store_path, read):
    model = build_model("pre", layers=2, width=128, heads=2, vocab=64, seed=1)
    before = [p.detach().clone() for p in model.blocks[1].parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    one_step(model, store_path, batches(1)[0], optimizer=optimizer)
    after = list(model.blocks[1].parameters())
    assert max(p.numel() for p in after) > 4 * SAMPLED
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)]).norm().item()
    size = torch.cat([a.flatten() for a in after]).norm().item()
    stats = read().layer_stats(runs=["r"], site="block", columns=["update_ratio"]).set_index("layer")
    assert stats.update_ratio[2] == pytest.approx(moved / size, rel=0.1)
