"""Loops that few people write: their training is theirs, and what is recorded is right or said not to be."""

from dataclasses import dataclass

import pytest
import torch
from loops import batches, loss_of, train
from ranks import MLPs
from torch import nn

from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError


def small():
    return build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)


def stepping_in_backward(model):
    """Every parameter has an optimizer of its own, which moves it as soon as its gradient is there."""
    optimizers = {p: torch.optim.AdamW([p], lr=1e-2) for p in model.parameters()}

    def move(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(move)


def test_optimizers_that_step_in_the_backward_make_one_step(store_path, read):
    losses, norm = {}, 0.0
    for watched in (False, True):
        model = small()
        if not watched:
            loss_of(model, batches(1)[0]).backward()
            norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
            model.zero_grad()
        stepping_in_backward(model)
        probe = watch(model, store=store_path, run="r", every=1) if watched else None
        losses[watched] = []
        for ids_BT in batches(4):
            loss = loss_of(model, ids_BT)
            loss.backward()
            losses[watched].append(loss.item())
            if probe is not None:
                probe.log(loss=loss)
        if probe is not None:
            probe.close()
    assert losses[True] == losses[False]
    steps = read().steps(runs=["r"]).sort_values("step")
    assert steps.step.tolist() == [0, 1, 2, 3]
    assert steps.loss.tolist() == pytest.approx(losses[True], rel=1e-6)
    assert steps.grad_norm.iloc[0] == pytest.approx(norm, rel=1e-5)
    assert (read().layer_stats(runs=["r"], site="block").update_ratio > 0).all()
    assert read().events(runs=["r"]).empty


@pytest.mark.parametrize("shape", [(0, 8), (2, 0), (1, 1)])
def test_a_batch_of_nothing_or_of_one_token_does_no_harm(store_path, read, shape):
    model = MLPs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given = [torch.zeros(shape, dtype=torch.int64), batches(1)[0]]
    with watch(model, store=store_path, run="r", every=1):
        for ids_BT in given:
            model(ids_BT).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert read().events(runs=["r"]).empty
    steps = read().steps(runs=["r"]).sort_values("step")
    assert steps.tokens.tolist() == [given[0].numel(), given[0].numel() + 48]
    stats = read().layer_stats(runs=["r"], site="resid_post", columns=["variance", "abs_max"])
    assert sorted(stats[stats.step == 1].layer) == [0, 1, 2, 3]
    assert (stats[stats.step == 1].abs_max > 0).all()
    assert "mlp_out" in set(read().layer_stats(runs=["r"]).site)


def test_function_transforms_are_left_alone_and_not_counted(store_path, read):
    model = MLPs()
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(given, ids_T):
        return torch.func.functional_call(model, given, (ids_T[None],)).square().mean()

    (ids_BT,) = batches(1)
    plain = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, ids_BT)
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 1, probe, lr=0.0)
        seen = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, ids_BT)
        train(model, 1, probe, lr=0.0)
    assert all(torch.equal(plain[name], seen[name]) for name in plain)
    assert read().steps(runs=["r"]).tokens.tolist() == [48, 96]
    assert read().events(runs=["r"]).empty


def test_a_second_derivative_is_as_without(store_path, read):
    losses = []
    for watched in (False, True):
        model = MLPs()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe = watch(model, store=store_path, run="r", every=1) if watched else None
        for ids_BT in batches(2):
            loss = loss_of(model, ids_BT)
            grads = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
            (loss + 0.1 * sum(g.square().sum() for g in grads)).backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        if probe is not None:
            probe.close()
    assert losses[:2] == losses[2:]
    assert read().events(runs=["r"]).empty


def test_copies_of_data_parallel_are_refused_and_told(model, store_path, read):
    parallel = nn.DataParallel(model)
    parallel.device_ids = [0, 1]
    with pytest.raises(DepthscopeError, match="one copy of the model in a process"):
        watch(parallel, store=store_path)
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 1, probe)
        with pytest.warns(RuntimeWarning, match="its copies are not measured"):
            replica = model._replicate_for_data_parallel()
            replica._forward_pre_hooks[next(iter(replica._forward_pre_hooks))](replica, (), {})
        train(model, 1, probe)
    assert read().steps(runs=["r"]).tokens.tolist() == [48, 96]


def test_parameters_without_shapes_are_refused(model, store_path):
    model.head = nn.LazyLinear(64)
    with pytest.raises(DepthscopeError, match="run one forward before"):
        watch(model, store=store_path)


class Scripted(nn.Module):
    """A block whose activation is TorchScript."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.act, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)
        self.act = torch.jit.script(self.act)

    def forward(self, x_BTD):
        return x_BTD + self.down(self.act(self.up(self.norm(x_BTD))))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_weights_are_refused_and_scripted_functions_are_not(store_path, read):
    model = nn.Sequential(nn.Embedding(64, 32), nn.Sequential(*(Scripted() for _ in range(3))), nn.Linear(32, 64))
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 2, probe)
    rows = read().layer_stats("r", columns=["variance"])
    assert rows.groupby("site").variance.count()[["mlp_out", "resid_post"]].tolist() == [2 * 3, 2 * 4]
    with pytest.raises(DepthscopeError, match="got TorchScript"):
        watch(nn.Sequential(*(torch.jit.script(nn.Linear(32, 32)) for _ in range(3))), store=store_path)


def test_export_is_as_without(model, store_path):
    plain = torch.export.export(small().eval(), (batches(1)[0],))
    with watch(model, store=store_path, every=1) as probe:
        train(model, 1, probe, lr=0.0)
        exported = torch.export.export(model.eval(), (batches(1)[0],))
        assert [node.target for node in exported.graph.nodes] == [node.target for node in plain.graph.nodes]
        model.train()
        train(model, 1, probe)


def test_a_model_that_is_not_called_itself_is_said_to_be(model, store_path, read):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(RuntimeWarning, match=r"not called as model\(\.\.\.\)"), watch(model, store=store_path, run="r"):
        model.forward(batches(1)[0]).square().mean().backward()
        optimizer.step()
    assert len(read().events(runs=["r"])) == 1


@dataclass
class Output:
    hidden: torch.Tensor
    layer: int


class Wrapping(nn.Module):
    """A block that takes and returns a dataclass."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, given):
        return Output(self.block(given.hidden), given.layer + 1)


class Unwrapped(nn.Module):
    """A model whose blocks hand dataclasses on."""

    def __init__(self):
        super().__init__()
        plain = MLPs()
        self.embed, self.final, self.head = plain.embed, plain.final, plain.head
        self.blocks = nn.ModuleList(Wrapping(block) for block in plain.blocks)

    def forward(self, ids_BT):
        stream = Output(self.embed(ids_BT), 0)
        for block in self.blocks:
            stream = block(stream)
        return self.head(self.final(stream.hidden))


def test_blocks_may_return_dataclasses(store_path, read):
    values = []
    for run, model in (("plain", MLPs()), ("wrapped", Unwrapped())):
        with watch(model, store=store_path, run=run, every=1) as probe:
            train(model, 2, probe)
        stats = read().layer_stats(runs=[run], site="resid_post", columns=["variance", "act_grad_norm"])
        values.append(stats.sort_values(["step", "layer"])[["variance", "act_grad_norm"]].to_numpy())
        assert read().events(runs=[run]).empty
    assert values[1] == pytest.approx(values[0], rel=1e-5)
