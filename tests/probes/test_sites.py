"""What is found in models nobody prepared for us, and the one line said where nothing is."""

from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from agreement import compare
from families import FAMILIES, IDS
from own_models import Looped, NanoGPT
from torch import nn
from torch.utils.checkpoint import checkpoint

from depthscope.probes import watch
from depthscope.probes.sites import find_sites, trace_sites
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError

STRATEGIES = ["pre", "post", "peri", "mix", "lns"]
# One family for each thing that has to work; `make long` tries the rest.
FAST = {
    "llama", "gemma2", "olmo2", "gpt2", "granite", "bert", "vit", "t5", "albert", "modernbert", "wav2vec2_stable",
    "swin", "clip", "mamba", "rwkv", "informer", "patchtst", "minimax", "norms by hand, scaled outside",
    "functional norms, scaled outside", "two blocks looped", "torch.nn.TransformerEncoder",
}  # fmt: skip
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.long) for name in FAMILIES]


@pytest.mark.parametrize("name", NAMES)
def test_families_are_found_and_agree_with_their_own_hidden_states(name, store_path):
    family = FAMILIES[name]
    found = compare(family, store_path)
    assert found.sites.how == "traced forward"
    assert Counter(block.stack for block in found.sites.blocks) == family.layers
    assert found.sites.placement == family.placement
    for block in found.sites.blocks:
        sites = {tap.key[2] for tap in found.sites.taps if tap.key[:2] == (block.stack, block.layer)}
        assert family.branches[block.stack] <= sites, block.name
    assert found.compared >= len(family.layers)
    assert found.error < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_split_without_loss_or_overlap(name):
    family = FAMILIES[name]
    model = family.build()
    sites = trace_sites(model, find_sites(model), (), family.arguments)
    whole = [n for (_, _, site), names in sites.parameters.items() if site not in ("attn", "mlp") for n in names]
    assert sorted(whole) == sorted(n for n, _ in model.named_parameters())
    for (stack, layer, site), names in sites.parameters.items():
        if site in ("attn", "mlp"):
            assert set(names) < set(sites.parameters[stack, layer, "block"])
            assert site == "attn" or not any("norm" in n.lower() for n in names)  # QK norms belong to attention


def test_the_table_in_the_docs_lists_every_family_as_it_is_tested():
    lines = (Path(__file__).parents[2] / "docs" / "families.md").read_text().splitlines()
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in lines if line.startswith("| "))}
    for name, family in FAMILIES.items():
        blocks = ", ".join(f"{s} {n}" if len(family.layers) > 1 else str(n) for s, n in sorted(family.layers.items()))
        assert ", ".join(sorted(rows[name][2].strip().split(", "))) == blocks, name
        assert float(rows[name][4]) < 1e-5, name
        assert rows[name][5].strip() == family.placement, name


class Skipping(NanoGPT):
    """Its last block never runs."""

    def run(self, x):
        for block in self.h[:-1]:
            x = block(x)
        return x


def test_a_block_that_never_runs_is_reported_and_has_no_numbers(store_path, read):
    model = Skipping()
    with watch(model, store=store_path, run="r", every=1):
        model(IDS).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert read().layer_stats(runs=["r"], site="resid_post").layer.max() == 2
    assert "h.2 is not measured: it did not run" in " ".join(read().events(runs=["r"]).text)


class TwiceInABlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(32), nn.Sequential(nn.Linear(32, 32), nn.Tanh())

    def forward(self, x):
        x = x + self.mlp(self.norm(x))
        return x + self.mlp(self.norm(x))


def test_a_module_that_is_two_branches_at_once_is_left_out(store_path):
    model = nn.Sequential(nn.Linear(32, 32), nn.Sequential(TwiceInABlock(), TwiceInABlock()))
    sites = trace_sites(model, find_sites(model), (torch.randn(2, 5, 32),), {})
    assert [block.name for block in sites.blocks] == ["1.0", "1.1"]
    assert not sites.taps


@pytest.mark.parametrize("checkpointed", [1, 2])
@pytest.mark.parametrize("reentrant", [True, False])
def test_shared_blocks_keep_their_layers_apart_under_checkpointing(reentrant, checkpointed, store_path, read):
    values = {}
    for name in ("plain", "checkpointed"):
        torch.manual_seed(0)
        model = Looped()
        if name == "checkpointed":
            for block in model.h[:checkpointed]:
                block.forward = partial(checkpoint, block.forward, use_reentrant=reentrant)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, store=store_path, run=name, every=1):
            for _ in range(2):
                optimizer.zero_grad()
                model(IDS).square().mean().backward()
                optimizer.step()
        columns = ["variance", "act_grad_norm", "branch_ratio", "param_grad_norm"]
        stats = read().layer_stats(runs=[name], columns=columns).sort_values(["step", "site", "layer"])
        values[name] = stats.drop(columns="run").reset_index(drop=True)
    pd.testing.assert_frame_equal(values["plain"], values["checkpointed"])
    post = values["plain"].query("site == 'resid_post' and step == 1")
    assert post.layer.tolist() == [0, 1, 2, 3, 4]
    assert post.act_grad_norm.nunique() == 5
    assert set(values["plain"].query("site == 'block' and param_grad_norm == param_grad_norm").layer) == {1, 2}
    assert read().layers(runs=["plain"]).shared.all()


def test_deepnorm_is_told_by_the_scale_of_its_stream():
    model = build_model("deepnorm", layers=4, width=32, heads=2, vocab=64)
    sites = trace_sites(model, find_sites(model), (torch.randint(64, (2, 8)),), {})
    assert {block.placement for block in sites.blocks} == {"deepnorm"}
    assert {"attn_out", "mlp_out"} <= {tap.key[2] for tap in sites.taps if tap.key[1] == 4}


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
