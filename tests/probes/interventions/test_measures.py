"""Each kind of measurement against its definition, computed another way."""

import math
from itertools import pairwise

import pytest
import torch
from families import FAMILIES, IDS
from own_models import NanoGPT
from torch import nn

from depthscope.probes.interventions import (
    INTERVENTIONS,
    Listener,
    Losses,
    Task,
    as_holdout,
    chosen_kinds,
    evaluate,
    sequence_losses,
)
from depthscope.probes.interventions.effectiveness import loop_effects, skip_effects
from depthscope.probes.interventions.holdout import halves
from depthscope.probes.interventions.streams import angular_distance, block_influence
from depthscope.sample_runs import build_model
from depthscope.store import Distance, Intervention, LayerEffect


def records(model: nn.Module, batches, only: str) -> list:
    def failed(kind: str, error: Exception) -> None:
        raise error

    return evaluate(model, Task(as_holdout(batches), chosen_kinds(only), step=0), Listener(failed=failed))


def effects(model: nn.Module, batches, only: str) -> dict[tuple[str, int | None, int | None], float]:
    found = [r for r in records(model, batches, only) if isinstance(r, LayerEffect)]
    return {(r.measure, r.layer, r.later_layer): r.value for r in found}


def turns(model: nn.Module, batches) -> dict[tuple[int, int], float]:
    found = [r for r in records(model, batches, "distances") if isinstance(r, Distance)]
    return {(r.layer, r.span): r.angular_distance for r in found}


def streams(model: nn.Module, ids_BT: torch.Tensor) -> list[torch.Tensor]:
    """The residual stream of the sample decoder from layer 0 on."""
    states = [model.enter(model.embed(ids_BT))]
    for block in model.blocks:
        states.append(block(states[-1]))
    return states


@torch.no_grad()
def test_blocks_that_add_nothing_cost_nothing(ids_BT):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    model.blocks[1].attn.out.weight.zero_()
    model.blocks[1].mlp.down.weight.zero_()
    rows = records(model, ids_BT, "skip,zero,repeat,jacobian,distances")
    silent = [r for r in rows if isinstance(r, Intervention) and r.layer == 2]
    assert len(silent) == 4
    assert all((r.delta, r.delta_se) == (0.0, 0.0) for r in silent)
    identity = {r.layer: r.value for r in rows if isinstance(r, LayerEffect) and r.measure == "jacobian_identity"}
    assert identity[2] == 0.0
    assert identity[1] > 1e-3
    assert next(r for r in rows if isinstance(r, Distance) and (r.layer, r.span) == (2, 1)).angular_distance < 1e-6


def test_angular_distance_and_block_influence_of_known_vectors():
    before, after = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 1.0]])
    assert angular_distance(before, after).tolist() == pytest.approx([0.0903345, 0.5], abs=1e-6)
    assert block_influence(before, after).mean().item() == pytest.approx(0.52)
    for scale, angle, influence in ((2.5, 0.0, 0.0), (-1.0, 1.0, 2.0)):
        assert angular_distance(before, scale * before).tolist() == pytest.approx([angle] * 2, abs=1e-6)
        assert block_influence(before, scale * before).tolist() == pytest.approx([influence] * 2)
    assert angular_distance(torch.zeros(1, 2), after[:1]).isfinite().all()


@torch.no_grad()
def test_distances_of_every_span_at_the_last_token(deep, ids_BT):
    states = streams(deep, ids_BT)
    found = {
        (r.layer, r.span): r.angular_distance for r in records(deep, ids_BT, "distances") if isinstance(r, Distance)
    }
    assert len(found) == 6 * 7 / 2
    for (layer, span), distance in found.items():
        before, after = states[layer - 1][:, -1].double(), states[layer - 1 + span][:, -1].double()
        cosine = (before * after).sum(-1) / (before.norm(dim=-1) * after.norm(dim=-1))
        assert distance == pytest.approx((cosine.arccos() / math.pi).mean().item(), abs=1e-9)


@torch.no_grad()
def test_distances_are_taken_at_the_last_real_token():
    model, mask = FAMILIES["llama"].build().eval(), torch.ones_like(IDS)
    mask[1, 6:] = 0
    found = turns(model, {"input_ids": IDS, "attention_mask": mask})
    states = model(IDS, attention_mask=mask, output_hidden_states=True).hidden_states
    ends = [torch.stack([state[0, -1], state[1, 5]]) for state in states[:2]]
    expected = angular_distance(*ends).mean().item()
    assert found[1, 1] == pytest.approx(expected, abs=1e-6)


@torch.no_grad()
def test_effects_on_later_blocks_by_their_definition(deep, ids_BT):
    found = effects(deep, ids_BT, "later")
    states, logits = streams(deep, ids_BT), deep(ids_BT)
    usual = [after - before for before, after in pairwise(states)]
    stream, half = states[1], ids_BT.shape[1] // 2
    partly = torch.cat([states[1][:, :half], states[2][:, half:]], dim=1)
    for start, stream, measure in ((0, states[1], "later_effect"), (half, partly, "later_effect_future")):
        for m in (2, 3, 4, 5):
            after = deep.blocks[m](stream)
            change = ((after - stream) - usual[m])[:, start:]
            expected = change.norm() / usual[m][:, start:].norm()
            assert found[measure, 2, m + 1] == pytest.approx(expected.item(), rel=1e-5)
            stream = after
        if start == 0:
            skipped = deep.head(deep.final_norm(stream)).softmax(-1)
            expected = (skipped - logits.softmax(-1)).abs().sum(-1)[:, :-1].mean() / 2
            assert found["output_effect", 2, None] == pytest.approx(expected.item(), rel=1e-5)
    assert not any(later is not None and later <= layer for _, layer, later in found)


def test_identity_of_the_jacobian_agrees_with_autograd(ids_BT):
    model = build_model("pre", layers=2, width=16, heads=2, vocab=64, seed=1)
    ids_BT = ids_BT[:1, :4]
    found = effects(model, ids_BT, "jacobian")
    generator = torch.Generator().manual_seed(0)
    for layer, stream in enumerate(streams(model, ids_BT)[:2], start=1):
        v = torch.randn(stream.shape, generator=generator)
        v /= v.norm(dim=-1, keepdim=True)
        jacobian = torch.autograd.functional.jacobian(model.blocks[layer - 1], stream.detach())
        product = torch.einsum("abcdef,def->abc", jacobian, v)
        expected = (product - v).norm(dim=-1).mean()
        assert found["jacobian_identity", layer, None] == pytest.approx(expected.item(), rel=1e-4)


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()


def test_a_block_without_forward_derivatives_is_measured_by_differences(ids_BT):
    torch.manual_seed(0)
    model = NanoGPT().eval()
    expected = effects(model, ids_BT, "jacobian")
    model.h[1].mlp.register_forward_hook(lambda module, args, output: NoForwardMode.apply(output))
    found = effects(model, ids_BT, "jacobian")
    assert set(found) == {("jacobian_identity" + "_differences" * (n == 2), n, None) for n in (1, 2, 3)}
    assert found["jacobian_identity_differences", 2, None] == pytest.approx(
        expected["jacobian_identity", 2, None], rel=1e-2
    )


def rows_of(deltas: list[float], errors: list[float], action: str = "skip") -> list[Intervention]:
    return [
        Intervention(7, "main", i, 1, "block", action, 2 + d, d, e, 1000)
        for i, (d, e) in enumerate(zip(deltas, errors, strict=True), start=1)
    ]


BASE = Losses(torch.tensor([2000.0]).double(), torch.tensor([1000.0]).double())


def test_effectiveness_by_hand():
    """Layer 3's 0.03 is below two standard errors, layer 4 helps by going: neither is work."""
    found = {
        (r.measure, r.layer): r.value
        for r in skip_effects(rows_of([1.0, 0.3, 0.03, -0.1], [0.01, 0.01, 0.02, 0.01]), BASE)
    }
    shares = [found["effectiveness_share", layer] for layer in (1, 2, 3, 4)]
    assert shares == pytest.approx([1 / 1.3, 0.3 / 1.3, 0, 0])
    assert [found["effectiveness_share_without_1", layer] for layer in (2, 3, 4)] == [1, 0, 0]
    assert found["participation_ratio", None] == pytest.approx(1.3**2 / (4 * 1.09))
    assert found["participation_ratio_without_1", None] == pytest.approx(1 / 3)
    assert found["effective_depth", None] == 2
    assert found["skip_tolerance", None] == 1 / 4
    assert found["deep_half_ratio", None] == 0
    assert found["tokens_needed", None] == pytest.approx(1000 * (0.02 / 1e-3) ** 2)


def test_noise_has_no_shares():
    found = {r.measure for r in skip_effects(rows_of([0.01, -0.02], [0.1, 0.1]), BASE)}
    assert not found & {"effectiveness_share", "participation_ratio", "deep_half_ratio"}
    assert "effective_depth" in found


def test_loop_tolerance_by_hand():
    found = {r.measure: r.value for r in loop_effects(rows_of([0.5, 0.019, 0.021], [0.1] * 3, "repeat"), BASE)}
    assert found == {"loop_tolerance": 1 / 3, "loop_tolerance_without_1": 1 / 2}


def test_pruning_is_chosen_on_one_half_and_reported_on_the_other(deep, ids_BT):
    rows = [r for r in records(deep, ids_BT, "prune") if isinstance(r, Intervention)]
    assert {r.action for r in rows} == {"prune_set"}
    assert {r.site for r in rows} == {
        "block_influence", "angular_distance", "skip_loss", "greedy", "last_k", "random",
    }  # fmt: skip
    choosing, reporting = halves(as_holdout(ids_BT))
    assert {r.tokens for r in rows} == {3 * 11}
    base = sequence_losses(deep, reporting).mean
    assert all(r.loss - r.delta == pytest.approx(base, abs=1e-9) for r in rows)
    alone = []
    for removed in range(6):
        kept = nn.ModuleList([b for i, b in enumerate(deep.blocks) if i != removed])
        alone.append([sequence_losses(_with(deep, kept), half).mean for half in (choosing, reporting)])
    best = min(range(6), key=lambda i: alone[i][0])
    by_ranking = {(r.site, r.span): r.loss for r in rows}
    assert by_ranking["skip_loss", 1] == by_ranking["greedy", 1] == pytest.approx(alone[best][1], abs=1e-6)
    assert by_ranking["last_k", 1] == pytest.approx(alone[5][1], abs=1e-6)
    assert sorted({r.span for r in rows}) == [1, 2, 3, 4, 5]


def _with(model: nn.Module, blocks: nn.ModuleList) -> nn.Module:
    import copy

    twin = copy.copy(model)
    twin._modules = {**model._modules, "blocks": blocks}
    return twin


def test_greedy_removal_is_never_worse_than_single_costs_where_it_chooses(deep, ids_BT):
    """Both halves hold the same sequences here, so that greedy is judged by what it chose on."""
    twice = ids_BT.repeat_interleave(2, 0)
    rows = [r for r in records(deep, twice, "prune") if isinstance(r, Intervention)]
    losses = {(r.site, r.span): r.loss for r in rows}
    assert losses["greedy", 2] <= losses["skip_loss", 2] + 1e-9


def test_shorter_chains_are_found_where_a_block_is_in_the_way(ids_BT):
    """Block 2 overwrites the stream with noise; without it the model copies its input, which is the right answer."""
    model = Copying()
    found = effects(model, (ids_BT, ids_BT), "chains")
    assert found["chain_correct", None, None] == 0
    assert found["chain_gained", None, None] == 1
    assert found["chain_length", None, None] == 0  # block 1 adds nothing, so both may go
    assert found["chain_gained_shuffled", None, None] < 0.5
    assert found["chain_budget", None, None] == found["chain_budget_shuffled", None, None] > 4


class Add(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 64, bias=False)
        nn.init.zeros_(self.inner.weight)
        self.offset = offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = x.roll(1, -1) * self.offset
        return x + self.inner(x) + other


class Copying(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(10 * torch.eye(64))
        self.blocks = nn.ModuleList([Add(0.0), Add(5.0)])

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids_BT)
        for block in self.blocks:
            x = block(x)
        return x


def test_the_estimate_holds_on_twelve_layers(ids_BT):
    model = build_model("pre", layers=12, width=16, heads=2, vocab=64, seed=1)
    estimates, done = [], []
    kinds = {name: kind for name, kind in INTERVENTIONS.items() if kind.in_training}
    listener = Listener(estimates.append, done.append)
    evaluate(model, Task(as_holdout(ids_BT), kinds, step=0), listener)
    assert sum(done) == pytest.approx(estimates[0].total, rel=0.2)
    skips, steps = [], []
    listener = Listener(skips.append, steps.append)
    evaluate(model, Task(as_holdout(ids_BT), chosen_kinds("skip"), step=0), listener)
    assert sum(steps) == pytest.approx(skips[0].total, rel=1e-6)
    assert skips[0].total < 13  # a forward for each of twelve skips without prefix reuse, and the untouched one


def test_twelve_skips_run_half_of_the_blocks(ids_BT):
    model = build_model("pre", layers=12, width=16, heads=2, vocab=64, seed=1)
    calls = []
    for block in model.blocks:
        block.mlp.register_forward_hook(lambda *_: calls.append(1))
    sequence_losses(model, as_holdout(ids_BT))
    forward = len(calls)
    evaluate(model, Task(as_holdout(ids_BT), chosen_kinds("skip"), step=0), Listener())
    extra = 5  # hearing what the model is given, tracing, settling, the base losses, the states that skips start from
    assert len(calls) - forward == (extra + 11 / 2) * forward
