"""Where a resumed run goes on: after the optimizer's updates, however late its checkpoint is loaded."""

import pytest
import torch
from families import IDS
from own_models import NanoGPT

from depthscope.probes import watch


def start(kind=torch.optim.AdamW):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = NanoGPT()
    return model, kind(model.parameters(), lr=1e-3)


def train(model, optimizer, steps):
    """The losses of some more steps."""
    losses = []
    for _ in range(steps):
        loss = model(IDS).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def saved(model, optimizer):
    return {name: value.clone() for name, value in model.state_dict().items()}, optimizer.state_dict()


def first_attempt(store, kind=torch.optim.AdamW, saved_after=3, steps=5):
    """A run of some steps, and its checkpoint after some of them."""
    model, optimizer = start(kind)
    with watch(model, store=store, run="r", every=1):
        train(model, optimizer, saved_after)
        weights, counts = saved(model, optimizer)
        counts = torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, counts)
        train(model, optimizer, steps - saved_after)
    return weights, counts


def check(read, steps, begins):
    rows = read().steps(runs=["r"], columns=["tokens"])
    assert rows.step.tolist() == list(range(steps))
    assert rows.tokens.tolist() == [IDS.numel() * (step + 1) for step in range(steps)]
    assert read().attempts().from_step.tolist() == begins
    layers = read().layer_stats(runs=["r"], site="resid_post", columns=["variance"])
    assert layers.groupby("step").size().tolist() == [4] * steps


def test_an_optimizer_loaded_before_watch_tells_the_step(store_path, read):
    weights, counts = first_attempt(store_path)
    model, optimizer = start()
    model.load_state_dict(weights)
    optimizer.load_state_dict(counts)
    with watch(model, store=store_path, run="r", every=1, resume=True):
        train(model, optimizer, 4)
    check(read, 7, [0, 3])
    assert read().events(runs=["r"]).text.tolist() == ["goes on at step 3"]


@pytest.mark.parametrize("made", ["before watch", "after watch"])
def test_an_optimizer_loaded_after_watch_tells_it_at_its_first_update(made, store_path, read):
    weights, counts = first_attempt(store_path)
    model, optimizer = start()
    if made == "after watch":
        del optimizer
    probe = watch(model, store=store_path, run="r", every=1, resume=True)
    if made == "after watch":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.load_state_dict(weights)
    optimizer.load_state_dict(counts)
    train(model, optimizer, 4)
    probe.close()
    check(read, 7, [0, 5, 3])
    events = read().events(runs=["r"])
    assert events.step.tolist() == [3]
    assert events.text.tolist() == ["goes on at step 3"]


def test_what_is_logged_before_the_first_update_belongs_to_its_step(store_path, read):
    weights, counts = first_attempt(store_path)
    model, optimizer = start()
    probe = watch(model, store=store_path, run="r", every=1, resume=True)
    model.load_state_dict(weights)
    optimizer.load_state_dict(counts)
    loss = model(IDS).square().mean()
    probe.log(loss=loss)
    loss.backward()
    optimizer.step()
    probe.close()
    rows = read().steps(runs=["r"]).set_index("step")
    assert rows.loss[3] == pytest.approx(loss.item())
    assert rows.index.tolist() == [0, 1, 2, 3]


def test_an_optimizer_that_does_not_count_goes_on_after_the_last_step(store_path, read):
    first_attempt(store_path, torch.optim.SGD)
    model, optimizer = start(torch.optim.SGD)
    with watch(model, store=store_path, run="r", every=1, resume=True):
        train(model, optimizer, 2)
    check(read, 7, [0, 5])


def test_a_run_that_went_on_with_a_new_optimizer_is_resumed_where_it_was(store_path, read):
    first_attempt(store_path)
    model, optimizer = start()
    with watch(model, store=store_path, run="r", every=1, resume=True) as probe:
        probe.event("lr re-warm")
        train(model, optimizer, 2)
        counts = optimizer.state_dict()
        train(model, optimizer, 2)
    check(read, 9, [0, 5])
    model, optimizer = start()
    optimizer.load_state_dict(counts)
    counted = max(int(state["step"]) for state in optimizer.state.values())
    with watch(model, store=store_path, run="r", every=1, resume=True):
        train(model, optimizer, 1)
    assert counted == 4  # the state dict shares its tensors, so it is the optimizer's count at the end
    check(read, 10, [0, 5, 9])


def test_a_checkpoint_ahead_of_the_store_is_believed(store_path, read):
    """Rows of the last steps before a kill may be missing; the checkpoint is right."""
    model, optimizer = start()
    with watch(model, store=store_path, run="r", every=1):
        train(model, optimizer, 2)
    train(model, optimizer, 3)
    with watch(model, store=store_path, run="r", every=1, resume=True):
        train(model, optimizer, 1)
    assert read().steps(runs=["r"]).step.tolist() == [0, 1, 5]


def test_the_step_that_is_given_counts(store_path, read):
    weights, counts = first_attempt(store_path)
    model, optimizer = start()
    model.load_state_dict(weights)
    optimizer.load_state_dict(counts)
    with watch(model, store=store_path, run="r", every=1, resume=True, start_step=4):
        train(model, optimizer, 1)
    assert read().attempts().from_step.tolist() == [0, 4]
    assert read().steps(runs=["r"]).step.tolist() == [0, 1, 2, 3, 4]


def test_resume_changes_nothing_in_training(store_path):
    weights, counts = first_attempt(store_path)
    losses = {}
    for watched in (False, True):
        model, optimizer = start()
        probe = watch(model, store=store_path, run="r", every=1, resume=True) if watched else None
        model.load_state_dict(weights)
        optimizer.load_state_dict(
            torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, counts)
        )
        losses[watched] = train(model, optimizer, 3)
        if probe is not None:
            probe.close()
    assert losses[False] == losses[True]
