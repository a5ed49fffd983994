"""However a run ends, no hook of ours stays: not on modules, tensors, optimizers or in torch. Other people's do."""

import gc
import sys

import pytest
import torch
from loops import batches, loss_of, train
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.optimizer import register_optimizer_step_post_hook

from depthscope.probes import watch
from depthscope.sample_runs import build_model

ON_MODULES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
GLOBAL = {
    "torch.optim.optimizer": ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"),
    "torch.nn.modules.module": ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks"),
}


def hooks(model, optimizer):
    """Everything that is called when `model` trains, by the objects themselves."""
    found = [hook for m in model.modules() for name in ON_MODULES for hook in getattr(m, name).values()]
    found += [hook for p in model.parameters() for hook in (p._backward_hooks or {}).values()]
    found += [hook for p in model.parameters() for hook in (p._post_accumulate_grad_hooks or {}).values()]
    found += [*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values()]
    found += [hook for module, names in GLOBAL.items() for n in names for hook in vars(sys.modules[module])[n].values()]
    return [*found, torch.nn.utils.clip_grad._clip_grads_with_norm_, GradScaler._maybe_opt_step]


def attributes(model):
    return {name: sorted(vars(module)) for name, module in model.named_modules()}


class Raises(torch.autograd.Function):
    """An identity whose backward fails."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise ZeroDivisionError("in backward")


def in_forward(model):
    def fails(module, args, output):
        raise ZeroDivisionError("in forward")

    return model.blocks[2].mlp.register_forward_hook(fails)


def in_backward(model):
    return model.blocks[1].register_forward_hook(lambda module, args, output: Raises.apply(output))


def interrupted(model):
    def ctrl_c(module, args, output):
        raise KeyboardInterrupt

    return model.blocks[1].attn.register_forward_hook(ctrl_c)


def loop(model, optimizer, steps=2):
    for ids_BT in batches(steps):
        loss_of(model, ids_BT).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("breaks", [in_forward, in_backward, interrupted], ids=lambda f: f.__name__)
def test_every_hook_is_gone_after_an_exception_and_others_stay(model, store_path, read, breaks):
    gc.collect()  # probes that other tests dropped without closing them
    calls = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    theirs = [
        model.register_forward_hook(lambda *seen: calls.append("root")),
        model.blocks[1].register_forward_pre_hook(lambda *seen: calls.append("block")),
        model.blocks[0].register_full_backward_hook(lambda *seen: calls.append("backward")),
        model.blocks[0].mlp.down.weight.register_post_accumulate_grad_hook(lambda *seen: calls.append("gradient")),
        optimizer.register_step_post_hook(lambda *seen: calls.append("step")),
        register_optimizer_step_post_hook(lambda *seen: calls.append("every step")),
    ]
    before, names = hooks(model, optimizer), attributes(model)
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt)), watch(model, store=store_path, run="r", every=1):
        loop(model, optimizer)
        failing = breaks(model)
        loop(model, optimizer)
    failing.remove()
    assert hooks(model, optimizer) == before
    assert attributes(model) == names
    calls.clear()
    loop(model, optimizer, steps=1)
    assert sorted(calls) == ["backward", "block", "every step", "gradient", "root", "step"]
    for handle in theirs:
        handle.remove()
    assert read().runs().status.tolist() == ["interrupted" if breaks is interrupted else "failed"]
    assert sorted(set(read().steps(runs=["r"]).step)) == [0, 1]  # what was complete is kept


def test_every_hook_is_gone_after_a_metric_failed(model, store_path, read, monkeypatch):
    from depthscope.probes import metrics

    def fails(observation):
        raise ZeroDivisionError("in a metric")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = hooks(model, optimizer)
    broken = type(metrics.METRICS["variance"])(**{**vars(metrics.METRICS["variance"]), "measure": fails})
    monkeypatch.setitem(metrics.METRICS, "variance", broken)
    with pytest.warns(RuntimeWarning, match="metric variance failed") as told:
        probe = watch(model, store=store_path, run="r", every=1)
        losses = train(model, 3, probe)
        probe.close()
    assert len(losses) == 3
    assert len(told) == 1
    assert hooks(model, optimizer) == before
    stats = read().layer_stats(runs=["r"], site="resid_post")
    assert "variance" not in stats or stats.variance.isna().all()
    assert (stats.mean_square > 0).all()
    assert read().events(runs=["r"]).text.str.contains("metric variance").tolist() == [True]


def test_a_leaf_that_the_first_block_reads_keeps_no_hook_and_is_heard_at_sampled_steps(store_path, read):
    class Latents(nn.Module):
        def __init__(self):
            super().__init__()
            self.latents = nn.Parameter(torch.randn(1, 6, 16))
            self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2))

        def forward(self, scale):
            x_BTD = self.latents
            for block in self.blocks:
                x_BTD = block(x_BTD)
            return x_BTD * scale

    model = Latents()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, norms = hooks(model, optimizer), []
    with watch(model, store=store_path, every=lambda step: step % 2 == 0):
        for _ in range(5):
            model(torch.ones(())).square().mean().backward()
            norms.append(model.latents.grad.norm(dim=-1).sum().item())
            optimizer.step()
            optimizer.zero_grad()
    assert hooks(model, optimizer) == before
    stats = read().layer_stats(site="resid_post", layers=[0], columns=["act_grad_norm"]).sort_values("step")
    assert stats.act_grad_norm.tolist() == pytest.approx(norms[::2], rel=1e-5)


def test_a_probe_that_is_dropped_with_its_model_leaves_torch_as_it_was(store_path):
    def drop():
        watch(build_model("pre", layers=2, width=16, heads=2, vocab=16), store=store_path, run="dropped")

    gc.collect()
    before = torch.nn.utils.clip_grad._clip_grads_with_norm_, GradScaler._maybe_opt_step
    drop()
    gc.collect()
    assert (torch.nn.utils.clip_grad._clip_grads_with_norm_, GradScaler._maybe_opt_step) == before
