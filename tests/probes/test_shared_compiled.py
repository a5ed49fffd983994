"""A block that is several layers (ALBERT, looped models), compiled by itself: each call still has its own numbers."""

import pandas as pd
import pytest
import torch
from families import FAMILIES, IDS
from own_models import Looped

from depthscope.probes import watch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]
COLUMNS = ["variance", "act_grad_norm", "branch_ratio", "param_grad_norm"]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def looped():
    torch.manual_seed(0)
    return Looped()


def albert():
    return FAMILIES["albert"].build()


def blocks_of(model):
    return model.h if isinstance(model, Looped) else [model.encoder.albert_layer_groups[0].albert_layers[0]]


@pytest.mark.parametrize("build", [looped, pytest.param(albert, marks=pytest.mark.long)])
def test_every_call_of_a_compiled_block_is_a_layer(build, store_path, read):
    values, losses = {}, {}
    for name in ("eager", "compiled"):
        model = build()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        probe = watch(model, store=store_path, run=name, every=1, example_inputs={"input_ids": IDS})
        if name == "compiled":
            for block in blocks_of(model):
                block.compile(backend="eager", fullgraph=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        losses[name] = []
        for _ in range(2):
            output = model(input_ids=IDS)
            loss = (output if isinstance(output, torch.Tensor) else output[0]).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses[name].append(loss.item())
        probe.close()
        stats = read().layer_stats(runs=[name], columns=COLUMNS).sort_values(["step", "site", "layer"])
        values[name] = stats[stats.site != "resid_mid"].drop(columns="run").reset_index(drop=True)
    assert losses["eager"] == pytest.approx(losses["compiled"], rel=1e-6)
    assert values["eager"].query("site == 'resid_post' and step == 1").act_grad_norm.nunique() > 2
    pd.testing.assert_frame_equal(values["compiled"], values["eager"], rtol=1e-4, atol=1e-6)
    assert read().events().empty
