"""What is found in models nobody prepared for us, and the one line said where nothing is."""

import pytest
import torch
from families import FAMILIES
from torch import nn

from depthscope.probes import watch
from depthscope.probes.sites import find_sites, trace_sites
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

# Granite scales branches on their way to the sum; T5's decoder has two attentions in a block.
BRANCHES = {"granite": {"attn_raw", "mlp_raw"}, "t5": {"mlp_out"}}
STRATEGIES = ["pre", "post", "peri", "mix", "lns"]


def traced(name: str):
    family = FAMILIES[name]
    model = family.build()
    return model, trace_sites(model, find_sites(model), (), family.arguments)


def without_dropout(model: nn.Module) -> None:
    """In training mode as in eval mode; some families keep the probability as a number of their own."""
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_found_with_their_placement_and_branches(name):
    sites = traced(name)[1]
    assert sites.placement == FAMILIES[name].placement
    assert sites.how == "traced forward"
    for block in sites.blocks:
        found = {tap.key[2] for tap in sites.taps if tap.key[:2] == (block.stack, block.layer)}
        assert BRANCHES.get(name, {"attn_out", "mlp_out"}) <= found, block.name


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_are_split_without_loss_or_overlap(name):
    model, sites = traced(name)
    whole = [n for (_, _, site), names in sites.parameters.items() if site not in ("attn", "mlp") for n in names]
    assert sorted(whole) == sorted(n for n, _ in model.named_parameters())
    for (stack, layer, site), names in sites.parameters.items():
        if site in ("attn", "mlp"):
            assert set(names) < set(sites.parameters[stack, layer, "block"])
            assert site == "attn" or not any("norm" in n.lower() for n in names)  # QK norms belong to attention


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stream_equals_the_models_own_hidden_states(name, store_path, read):
    family = FAMILIES[name]
    model = family.build().eval()
    with torch.no_grad():
        hidden = model(**family.arguments, output_hidden_states=True)[family.hidden]
    model.train()
    without_dropout(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, store=store_path, run="r", every=1) as probe:
        output = model(**family.arguments)
        next(iter(t for t in output.to_tuple() if isinstance(t, torch.Tensor))).square().mean().backward()
        optimizer.step()
    stack = "decoder" if name == "t5" else "main"
    assert [b.stack for b in probe.sites.blocks].count(stack) == len(hidden) - 1
    stats = read().layer_stats(runs=["r"], site="resid_post", columns=["mean_square"])
    stats = stats[stats["stack"] == stack].sort_values("layer")
    # Hugging Face's last hidden state is taken after the final norm, so it is not the last block's output.
    for layer in range(len(hidden) - 1):
        expected = hidden[layer].double().square().mean().item()
        assert stats.mean_square.iloc[layer] == pytest.approx(expected, rel=1e-5), layer


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_reference_decoder_placements_are_detected(strategy):
    model = build_model(strategy, layers=8, width=32, heads=2, vocab=64)
    sites = trace_sites(model, find_sites(model), (torch.randint(64, (2, 8)),), {})
    assert sites.placement == strategy
    expected = {"attn_out", "mlp_out", "resid_mid"}
    assert expected <= {tap.key[2] for tap in sites.taps if tap.key[1] == 8}


def test_unlabelled_runs_take_the_detected_placement(store_path, read):
    model = build_model("mix", layers=8, width=32, heads=2, vocab=64)
    watch(model, store=store_path, run="r", example_inputs=torch.randint(64, (2, 8))).close()
    assert read().runs().strategy.tolist() == ["mix"]
    placements = read().layers(runs=["r"]).sort_values("layer").norm_placement.tolist()
    assert placements == ["post"] * 2 + ["pre"] * 6


def test_tracing_changes_nothing():
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64)
    model.blocks[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, modes = torch.get_rng_state(), [m.training for m in model.modules()]
    trace_sites(model, find_sites(model), (torch.randint(64, (2, 8), generator=torch.Generator()),), {})
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class InPlace(nn.Module):
    """A block that overwrites the stream it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Tanh(), nn.Linear(16, 16))

    def forward(self, x):
        x += self.mlp(x)
        return x


def test_blocks_that_overwrite_their_input_are_measured_right(store_path, read):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Sequential(InPlace(), InPlace()))
    x_BTD = torch.randn(2, 5, 16)
    with torch.no_grad():
        entered = model[0](x_BTD)
        left = model[1][0](entered.clone())
    expected = (left - entered).norm(dim=-1).div(entered.norm(dim=-1)).mean().item()
    with watch(model, store=store_path, run="r", every=1):
        model(x_BTD).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    stats = read().layer_stats(runs=["r"], site="block", columns=["branch_ratio"])
    assert stats.branch_ratio[stats.layer == 1].item() == pytest.approx(expected, rel=1e-5)


def test_a_model_without_repeated_blocks_is_refused_with_what_was_seen(store_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with pytest.raises(
        DepthscopeError, match=r"expected a model with repeated blocks .* found none in Sequential"
    ) as error:
        watch(model, store=store_path)
    assert "\n" not in str(error.value)
    assert "(root) (3 children)" in str(error.value)
    assert not store_path.exists()


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ({"blocks": "nowhere"}, "found no 'nowhere'"),
        ({"blocks": "head"}, "at least 2 blocks, found 0"),
        ({"attn": "nowhere"}, r"found no 'blocks.0.nowhere'"),
        ({"layers": "blocks"}, "expected sites to name blocks, attn, mlp, got 'layers'"),
    ],
)
def test_wrong_site_names_are_one_clear_line(model, store_path, sites, message):
    with pytest.raises(DepthscopeError, match=message):
        watch(model, store=store_path, sites=sites)


def test_sites_can_be_named_by_hand(model, store_path, read):
    named = {"blocks": "blocks", "attn": "attn", "mlp": "mlp"}
    with watch(model, store=store_path, run="r", every=1, sites=named) as probe:
        model(torch.randint(64, (2, 8))).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert {tap.key[2] for tap in probe.sites.taps} == {"attn_out", "mlp_out"}
    assert set(read().layer_stats(runs=["r"], site="attn_out").layer) == {1, 2, 3}


@pytest.mark.parametrize("every", [0, -1, 2.5, "10", True])
def test_a_wrong_cadence_is_refused(model, store_path, every):
    with pytest.raises(DepthscopeError, match="expected every to be a whole number of at least 1"):
        watch(model, store=store_path, every=every)
