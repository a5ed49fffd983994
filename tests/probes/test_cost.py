"""What a probe costs, counted and not timed: operations on steps that are not sampled, waits for the device, memory."""

import pytest
import torch
from counting import Operations, Waits
from loops import batches, loss_of
from torch.nn.utils import clip_grad_norm_

from depthscope.probes import watch
from depthscope.sample_runs import build_model

# Of the step log: copies of single numbers, and the factor that clipping had.
OF_NUMBERS = {"aten.detach", "aten.clone", "aten.add", "aten.mul", "aten.reciprocal", "aten.clamp", "aten.view"}


def small(layers=3, device="cpu"):
    return build_model("pre", layers=layers, width=32, heads=2, vocab=64, seed=1).to(device)


def one_step(model, optimizer, ids_BT, *, probe=None, clip=None):
    loss = loss_of(model, ids_BT)
    loss.backward()
    if clip is not None:
        clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    if probe is not None:
        probe.log(loss=loss)


def operations_of_a_step(store_path, layers, *, watched, **options):
    """The operations of step 3, with a probe that sampled step 0 alone."""
    model = small(layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    probe = watch(model, store=store_path, every=lambda step: step == 0) if watched else None
    log = options.pop("log", False)
    for ids_BT in batches(4):
        with Operations() as operations:
            one_step(model, optimizer, ids_BT, probe=probe if log else None, **options)
    if probe is not None:
        probe.close()
    return operations.counted


def test_a_step_that_is_not_sampled_runs_no_operation_more(store_path):
    plain = operations_of_a_step(store_path, 3, watched=False)
    assert sum(plain.values()) > 100
    assert operations_of_a_step(store_path, 3, watched=True) == plain


def test_logging_and_clipping_add_a_few_numbers_whatever_the_depth(store_path):
    more = [
        operations_of_a_step(store_path, layers, watched=True, log=True, clip=0.5)
        - operations_of_a_step(store_path, layers, watched=False, clip=0.5)
        for layers in (2, 5)
    ]
    assert more[0] == more[1]
    assert {name.rpartition(".")[0] for name in more[0]} <= OF_NUMBERS
    assert sum(more[0].values()) <= 16


def waits_by_step(store_path, layers, sampled, **options):
    """What the host waits for in each of six steps after the first, whose forward attaches the probe, and in close().

    A sampled step's copy happens as the next one opens.
    """
    model = small(layers, "meta")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids_BT = torch.zeros(4, 12, dtype=torch.int64, device="meta")
    with Waits() as plain:
        one_step(model, optimizer, ids_BT, clip=0.5)
    assert not plain.seen  # the loop itself does not wait
    probe = watch(model, store=store_path, every=lambda step: step in sampled, **options)
    counted = []
    one_step(model, optimizer, ids_BT, probe=probe)
    for _ in range(6):
        with Waits() as waits:
            one_step(model, optimizer, ids_BT, probe=probe, clip=0.5)
        counted.append(waits.seen)
    with Waits() as waits:
        probe.close()
    return [*counted, waits.seen]


@pytest.mark.filterwarnings("ignore:depthscope. tracing failed:RuntimeWarning")  # it looks at where values lie
@pytest.mark.filterwarnings("ignore:depthscope. measuring failed:RuntimeWarning")  # zeros look like nothing seen
@pytest.mark.parametrize("layers", [2, 5])
def test_the_host_waits_once_for_a_sampled_step_and_never_otherwise(store_path, layers):
    counted = waits_by_step(store_path, layers, sampled=(0, 2, 3))
    assert counted == [["tolist"], [], ["tolist"], ["tolist"], [], [], ["tolist"]]  # close() writes what was logged


@pytest.mark.filterwarnings("ignore:depthscope. tracing failed:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:depthscope. measuring failed:RuntimeWarning")
def test_a_held_out_batch_and_a_mask_add_no_wait(store_path):
    held_out = torch.zeros(2, 12, dtype=torch.int64, device="meta")
    real_BT = torch.ones(4, 12, dtype=torch.bool, device="meta")
    counted = waits_by_step(
        store_path, 2, sampled=range(9), probe_batch=held_out, probe_every=2,
        mask=lambda args, kwargs: real_BT[: args[0].shape[0]],
    )  # fmt: skip
    assert counted == [["tolist"]] * 7
