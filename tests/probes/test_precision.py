"""Mixed precision, loss scaling and activation checkpointing: the numbers of plain training, and training untouched."""

import pandas as pd
import pytest
import torch
from loops import batches, loss_of
from torch import nn
from torch.utils.checkpoint import checkpoint

from depthscope.probes import watch
from depthscope.sample_runs import build_model

KEYS = ["step", "site", "layer"]


def small() -> nn.Module:
    return build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)


def rows(read, run, **where):
    return read().layer_stats(runs=[run], **where).drop(columns="run").sort_values(KEYS).reset_index(drop=True)


def scaled_run(store_path, run, scale, *, steps=3, overflow_at=None, fused=False, growth_interval=1000):
    """SGD under a GradScaler on the CPU; returns the losses and final weights."""
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    enabled = scale is not None
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, growth_interval=growth_interval, enabled=enabled)
    losses = []
    probe = watch(model, store=store_path, run=run, every=1) if run else None
    for i, ids_BT in enumerate(batches(steps)):
        loss = loss_of(model, ids_BT)
        scaler.scale(loss * (float("inf") if i == overflow_at else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if probe:
            probe.log(loss=loss)
        losses.append(loss.item())
    if probe:
        probe.close()
    return losses, [p.detach().clone() for p in model.parameters()]


def test_gradients_are_those_without_loss_scaling(store_path, read):
    scaled_run(store_path, "plain", None)
    scaled_run(store_path, "scaled", 1024.0)
    pd.testing.assert_frame_equal(rows(read, "scaled"), rows(read, "plain"), rtol=1e-4, atol=1e-7)
    assert read().steps(runs=["scaled"]).loss_scale.tolist() == [1024.0] * 3
    assert read().steps(runs=["plain"]).loss_scale.isna().all()


def test_a_scale_that_grows_is_that_of_its_own_step(store_path, read):
    scaled_run(store_path, "plain", None)
    scaled_run(store_path, "growing", 1024.0, growth_interval=1)
    assert read().steps(runs=["growing"]).sort_values("step").loss_scale.tolist() == [1024.0, 2048.0, 4096.0]
    pd.testing.assert_frame_equal(rows(read, "growing"), rows(read, "plain"), rtol=1e-4, atol=1e-7)


def test_loss_scaled_training_is_bit_identical(store_path):
    plain, weights = scaled_run(store_path, None, 1024.0, overflow_at=1)
    seen, seen_weights = scaled_run(store_path, "r", 1024.0, overflow_at=1)
    assert plain == seen
    assert all(torch.equal(a, b) for a, b in zip(weights, seen_weights, strict=True))


def test_a_step_dropped_for_overflow_is_marked_and_its_statistics_discarded(store_path, read):
    scaled_run(store_path, "r", 1024.0, steps=4, overflow_at=1)
    steps = read().steps(runs=["r"]).sort_values("step")
    assert steps.step.tolist() == [0, 1, 2]  # three updates
    assert steps.skipped.tolist() == [False, True, False]
    assert steps.tokens.tolist() == [48, 144, 192]  # the dropped batch was seen
    assert steps.loss_scale.tolist() == [1024.0, 512.0, 512.0]
    stats = rows(read, "r")
    assert sorted(set(stats.step)) == [0, 1, 2]
    assert not stats.nonfinite.fillna(0).any()
    assert stats.param_grad_norm.dropna().abs().max() < 1e3


def test_a_fused_optimizer_that_skips_by_itself_is_marked_and_its_statistics_discarded(store_path, read):
    scaled_run(store_path, "r", 1024.0, overflow_at=1, fused=True)
    assert read().steps(runs=["r"]).sort_values("step").skipped.tolist() == [False, True, False]
    assert sorted(set(rows(read, "r").step)) == [0, 2]
    assert sorted(set(read().massive(runs=["r"]).step)) == [0, 2]
    assert read().events(runs=["r"]).empty


def unsampled_run(store_path, run, forward):
    """Under a GradScaler with clipping and an overflow; returns what was told of the steps, none of them sampled."""
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    with watch(model, store=store_path, run=run, every=lambda step: False):
        for i, ids_BT in enumerate(batches(6)):
            scaler.scale(forward(model)(ids_BT).square().mean() * (float("inf") if i == 3 else 1)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


def test_steps_whose_forward_nobody_sees_are_told_apart_all_the_same(store_path, read):
    """As where the whole model is one compiled graph: the root's hooks are not called."""
    unsampled_run(store_path, "seen", lambda model: model)
    unsampled_run(store_path, "unseen", lambda model: model.forward)
    seen, unseen = (read().steps(runs=[run]).sort_values("step") for run in ("seen", "unseen"))
    assert seen.step.tolist() == unseen.step.tolist() == [0, 1, 2, 3, 4]
    assert seen.skipped.tolist() == unseen.skipped.tolist() == [False, False, False, True, False]
    assert seen.loss_scale.tolist() == unseen.loss_scale.tolist()
    assert (unseen.clip_factor < 1).all()
    for column in ("grad_norm", "clip_factor"):
        assert unseen[column].tolist() == pytest.approx(seen[column].tolist(), rel=1e-6)


def autocast_run(store_path, run):
    model = small()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    probe = watch(model, store=store_path, run=run, every=1, probe_batch=batches(1, seed=7)[0]) if run else None
    for ids_BT in batches(4):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, ids_BT)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if probe:
        probe.close()
    return losses, [p.detach().clone() for p in model.parameters()]


def test_autocast_training_is_bit_identical_and_measured_in_single_precision(store_path, read):
    plain, weights = autocast_run(store_path, None)
    seen, seen_weights = autocast_run(store_path, "r")
    assert plain == seen
    assert all(torch.equal(a, b) for a, b in zip(weights, seen_weights, strict=True))
    stats = rows(read, "r", phase="train", site="resid_post", columns=["variance", "mean_square", "kurtosis"])
    assert (stats.variance > 0).all()
    # Values that were rounded to bfloat16 before they were averaged would have 8 significant bits.
    bits = stats.mean_square.to_numpy(dtype="float32").view("uint32") & 0xFFFF
    assert (bits != 0).mean() > 0.9


class Checkpointed(nn.Module):
    """Runs a block under activation checkpointing."""

    def __init__(self, block: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.block, self.reentrant = block, reentrant

    def forward(self, x_BTD):
        return checkpoint(self.block, x_BTD, use_reentrant=self.reentrant)


def checkpointed_run(store_path, run, reentrant, watched=True):
    """`reentrant` None is without checkpointing; sites inside the checkpoint are the watched blocks themselves."""
    model = small()
    if reentrant is not None:
        model.blocks = nn.ModuleList(Checkpointed(block, reentrant) for block in model.blocks)
    named = None if reentrant is None else {"blocks": tuple(f"blocks.{i}.block" for i in range(3))}
    probe = (
        watch(model, store=store_path, run=run, every=1, sites=named, example_inputs=batches(1)[0]) if watched else None
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for ids_BT in batches(3):
        loss = loss_of(model, ids_BT)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if probe:
        probe.close()
    return losses


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_every_site_counts_once_under_checkpointing(store_path, read, reentrant):
    plain = checkpointed_run(store_path, "plain", None)
    assert checkpointed_run(store_path, "checkpointed", reentrant) == plain
    left = rows(read, "plain")
    right = rows(read, "checkpointed")
    pd.testing.assert_frame_equal(right, left, rtol=1e-5, atol=1e-7)
