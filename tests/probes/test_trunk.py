"""Models that hold their residual stream outside their blocks, or on another axis: the true stream, or none at all."""

import own_models
import pytest
import torch
from families import IDS
from torch import nn

from depthscope.probes import watch
from depthscope.store import open_store

PLACEMENTS = {
    "AddedOutside": "pre",
    "NormedOutside": "post",
    "SkippedOutside": "pre",
    "Pairs": "pre",
    "ResidualPairs": "pre",
    "Columns": "post",
}


def train(model, store, inputs=IDS, compiled=False, **options):
    """One step at a rate of zero; returns the probe."""
    probe = watch(model, store=store, every=1, example_inputs=inputs, **options)
    run = torch.compile(model, backend="eager", fullgraph=True) if compiled else model
    run(inputs).square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    probe.close()
    return probe


def made(name):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return getattr(own_models, name)()


def stream(store, column="mean_square"):
    rows = open_store(store).layer_stats(site="resid_post", columns=[column])
    return rows.dropna().set_index("layer")[column].to_dict()


@pytest.mark.parametrize("name", PLACEMENTS)
def test_the_stream_is_found_where_the_model_adds(name, store_path):
    model = made(name)
    found = train(model, store_path).sites
    expected = {layer: state.square().mean().item() for layer, state in enumerate(model.states)}
    assert stream(store_path) == pytest.approx(expected, rel=1e-5)
    assert found.placement == PLACEMENTS[name]
    assert [block.layer for block in found.blocks] == [1, 2, 3]
    assert not found.left_out


@pytest.mark.parametrize("name", ["AddedOutside", "Pairs"])
def test_gradients_and_changes_are_those_of_the_stream(name, store_path):
    model = made(name)
    heard, entered = {}, []
    run = model.run

    def keeping(x):
        if x.requires_grad:  # not while it is traced
            x.register_hook(lambda grad: heard.setdefault(0, grad))
            entered.append(x.detach())
        return run(x)

    model.run = keeping
    train(model, store_path)
    before = heard[0].norm(dim=-1).sum().item()  # mean times the number of tokens
    assert stream(store_path, "act_grad_norm")[0] == pytest.approx(before, rel=1e-5)
    changes = open_store(store_path).layer_stats(site="block", columns=["branch_ratio"]).dropna().set_index("layer")
    delta = model.states[1] - entered[0]
    assert changes.branch_ratio[1] == pytest.approx(
        (delta.norm(dim=-1) / entered[0].norm(dim=-1)).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize("name", ["Pairs", "Columns"])
def test_the_parts_of_a_layer_share_its_parameters(name, store_path):
    model = made(name)
    sites = train(model, store_path).sites
    names = [n for (_, _, site), each in sites.parameters.items() if site not in ("attn", "mlp") for n in each]
    assert sorted(names) == sorted(n for n, _ in model.named_parameters())
    for layer in (1, 2, 3):
        assert {("main", layer, "attn"), ("main", layer, "mlp")} <= set(sites.parameters)


@pytest.mark.parametrize(
    ("name", "inputs", "why"),
    [
        ("NobodyReads", IDS, "no module reads the sum"),
        ("ChannelsFirst", torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0)), "channels first"),
    ],
)
def test_a_stream_that_cannot_be_read_has_no_numbers_and_says_so(name, inputs, why, store_path):
    train(made(name), store_path, inputs)
    found = open_store(store_path)
    assert found.layer_stats(site="resid_post").empty
    assert found.layer_stats(site="attn_out").empty
    assert found.events().text.str.contains(f"the stream of h.0 to h.2 is not measured: .*{why}").tolist() == [True]
    assert found.layer_stats(site="block", columns=["param_norm"]).param_norm.notna().all()


class LastIsNotRead(own_models.AddedOutside):
    def run(self, x):
        for block, norm in zip(self.h, self.norms, strict=True):
            x = x + block(norm(x))
        return own_models.rms(x)


def test_one_layer_that_nobody_reads_is_named(store_path):
    torch.manual_seed(0)
    sites = train(LastIsNotRead(), store_path).sites
    assert sites.left_out == (
        "the stream after h.2 is not measured: the model adds what its blocks return, and no module reads the sum",
    )
    assert sorted(stream(store_path)) == [0, 1, 2]


class Rearranged(nn.Module):
    """[B, C, T] and as many channels as steps: sizes tell nothing, modules do."""

    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(own_models.ConvBlock() for _ in range(3))

    def forward(self, x):
        for block in self.h:
            x = block(x)
        return x


def test_sizes_alone_do_not_decide_which_axis_holds_the_features(store_path):
    torch.manual_seed(0)
    train(Rearranged(), store_path, torch.randn(2, own_models.D, own_models.D))
    assert not stream(store_path)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_in_a_graph_a_gradient_that_only_a_part_of_comes_by_is_left_out(store_path):
    """The sum of attention and stream is read by the norm, and added to again: a graph shows only one of the two."""
    torch._dynamo.reset()
    values = {}
    for name in ("eager", "compiled"):
        torch.manual_seed(0)
        train(own_models.NanoGPT(), store_path, run=name, compiled=name == "compiled")
        rows = open_store(store_path).layer_stats(runs=[name], columns=["variance", "act_grad_norm"])
        values[name] = rows.set_index(["site", "layer"])
    torch._dynamo.reset()
    middle = values["compiled"].loc["resid_mid"]
    assert middle.act_grad_norm.isna().all()
    assert middle.variance.to_dict() == pytest.approx(values["eager"].loc["resid_mid"].variance.to_dict(), rel=1e-5)
    for site in ("resid_post", "attn_out", "mlp_out"):
        expected = values["eager"].loc[site].act_grad_norm.to_dict()
        assert values["compiled"].loc[site].act_grad_norm.to_dict() == pytest.approx(expected, rel=1e-4)
