"""torch.compile: no graph breaks, the same numbers as uncompiled, the same training, no graphs once both are built."""

import sys

import pandas as pd
import pytest
import torch
from loops import batches, loss_of
from torch._dynamo.utils import counters

from depthscope.probes import watch
from depthscope.sample_runs import build_model

# Dynamo instantiates an autograd.Function and looks at the .grad of inputs, which torch itself warns about; inductor
# uses torch.jit.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

KEYS = ["step", "site", "layer"]
EXAMPLE = batches(1, seed=5)[0]


def small():
    return build_model("pre", layers=2, width=32, heads=2, vocab=64, seed=1)


def compile_outer(model, attach, backend):
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    return compiled, attach(compiled)


def compile_after(model, attach, backend):
    probe = attach(model)
    return torch.compile(model, fullgraph=True, backend=backend), probe


def compile_method(model, attach, backend):
    probe = attach(model)
    model.compile(fullgraph=True, backend=backend)
    return model, probe


def compile_blocks(model, attach, backend):
    probe = attach(model)
    for block in model.blocks:
        block.compile(fullgraph=True, backend=backend)
    return model, probe


def not_compiled(model, attach, backend):
    return model, attach(model)


MODES = {
    "watch(torch.compile(model))": compile_outer,
    "torch.compile(watched model)": compile_after,
    "model.compile()": compile_method,
    "every block.compile()": compile_blocks,
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def run(mode, store_path, name, *, backend="aot_eager", watched=True, calls=1, steps=6, every=lambda k: k % 2 == 0):
    """Train with one way of compiling; returns the losses and the final weights."""
    model = small()

    def attach(root):
        return watch(root, store=store_path, run=name, every=every, example_inputs=EXAMPLE) if watched else None

    compiled, probe = mode(model, attach, backend)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for ids_BT in batches(steps):
        loss = sum(loss_of(compiled, ids_BT) for _ in range(calls)) / calls
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if probe is not None:
            probe.log(loss=loss)
        losses.append(loss.item())
    if probe is not None:
        probe.close()
    return losses, [p.detach().clone() for p in model.parameters()]


def rows(read, name):
    return read().layer_stats(runs=[name]).drop(columns="run").sort_values(KEYS).reset_index(drop=True)


@pytest.mark.parametrize("mode", MODES)
def test_compiled_training_is_measured_as_in_eager_mode_and_not_changed(mode, store_path, read):
    run(not_compiled, store_path, "eager")
    plain_losses, plain = run(MODES[mode], store_path, "plain", watched=False)
    graphs_without = counters["stats"]["unique_graphs"]
    torch._dynamo.reset()
    counters.clear()
    losses, weights = run(MODES[mode], store_path, "compiled")
    assert not counters["graph_break"]
    assert losses == plain_losses
    assert all(torch.equal(a, b) for a, b in zip(plain, weights, strict=True))
    assert counters["stats"]["unique_graphs"] <= 2 * graphs_without
    pd.testing.assert_frame_equal(rows(read, "compiled"), rows(read, "eager"), rtol=1e-4, atol=1e-6)
    steps = [read().steps(runs=[name]).sort_values("step") for name in ("eager", "compiled")]
    for column in ("step", "tokens", "loss", "lr", "sampled"):
        assert steps[0][column].tolist() == pytest.approx(steps[1][column].tolist(), rel=1e-5), column
    assert read().events().empty


@pytest.mark.parametrize("mode", MODES)
def test_two_forwards_before_a_backward_pool_exactly(mode, store_path, read):
    run(not_compiled, store_path, "eager", calls=2, steps=3)
    run(MODES[mode], store_path, "compiled", calls=2, steps=3)
    pd.testing.assert_frame_equal(rows(read, "compiled"), rows(read, "eager"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_no_graph_is_added_once_on_and_off_are_built(mode, store_path):
    built = {}

    def every(step):
        built.setdefault(step, counters["stats"]["unique_graphs"])
        return step % 2 == 0

    run(MODES[mode], store_path, "r", steps=14, every=every)
    assert 0 < built[4] == counters["stats"]["unique_graphs"]


def test_graphs_do_not_grow_with_depth(store_path):
    built = []
    for layers in (3, 6):
        torch._dynamo.reset()
        counters.clear()
        model = build_model("pre", layers=layers, width=32, heads=2, vocab=64, seed=1)
        with watch(model, store=store_path, every=2, example_inputs=EXAMPLE):
            for block in model.blocks:
                block.compile(fullgraph=True, backend="aot_eager")
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for ids_BT in batches(4):
                loss_of(model, ids_BT).backward()
                optimizer.step()
        built.append(counters["stats"]["unique_graphs"])
    assert built[0] == built[1]


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_inductor_training_is_bit_identical(mode, store_path, read):
    run(not_compiled, store_path, "eager", steps=4)
    plain_losses, plain = run(MODES[mode], store_path, "plain", watched=False, backend="inductor", steps=4)
    losses, weights = run(MODES[mode], store_path, "compiled", backend="inductor", steps=4)
    assert losses == plain_losses
    assert all(torch.equal(a, b) for a, b in zip(plain, weights, strict=True))
    pd.testing.assert_frame_equal(rows(read, "compiled"), rows(read, "eager"), rtol=1e-4, atol=1e-6)


def compiled_losses(model, probe, steps=4):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for ids_BT in batches(steps):
        loss_of(model, ids_BT).backward()
        optimizer.step()
        optimizer.zero_grad()
    probe.close()


def test_blocks_are_measured_where_no_forward_is_ever_seen(store_path, read):
    model = small()
    probe = watch(model, store=store_path, run="r", every=1)
    compiled_losses(torch.compile(model, fullgraph=True, backend="aot_eager"), probe)
    stats = rows(read, "r")
    assert sorted(set(stats.step)) == [0, 1, 2, 3]
    assert sorted(stats[stats.site == "resid_post"].layer.unique()) == [0, 1, 2]
    assert read().events().empty


@pytest.mark.parametrize("compiled_root", [True, False])
@pytest.mark.parametrize("ran", ["itself", "another of its class"])
def test_a_model_that_was_compiled_and_ran_before_is_traced_again(compiled_root, ran, store_path, read):
    model = small()
    compiled = torch.compile(model, backend="aot_eager")
    loss_of(compiled if ran == "itself" else torch.compile(small(), backend="aot_eager"), EXAMPLE).backward()
    model.zero_grad()
    probe = watch(compiled if compiled_root else model, store=store_path, run="r", every=1)
    compiled_losses(compiled, probe)
    assert sorted(set(rows(read, "r").query("site == 'resid_post'").step)) == [0, 1, 2, 3]
    assert read().events().empty


def test_a_graph_that_stays_is_said_and_dropped(store_path, read, monkeypatch):
    monkeypatch.setattr(sys.modules["depthscope.probes.watch"], "forget_graphs", lambda model: None)
    model = small()
    compiled = torch.compile(model, backend="aot_eager")
    loss_of(compiled, EXAMPLE).backward()
    model.zero_grad()
    probe = watch(compiled, store=store_path, run="r", every=1)
    with pytest.warns(RuntimeWarning, match="had run before watch"):
        compiled_losses(compiled, probe)
    assert sorted(set(rows(read, "r").query("site == 'resid_post'").step)) == [1, 2, 3]
    assert read().events().text.str.contains("had run before watch").tolist() == [True]
