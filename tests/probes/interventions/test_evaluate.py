"""Evaluations in a training loop: at the right weights, harmless, and gone after any exception."""

import pytest
import torch
import torch.nn.functional as F
from loops import batches, loss_of, train
from torch import nn

from depthscope.probes import watch
from depthscope.probes.interventions import INTERVENTIONS, as_holdout, sequence_losses
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError, Intervention, open_store

HELD = batches(2, size=6, seed=9)
CHEAP = [name for name, kind in INTERVENTIONS.items() if kind.in_training]


def state_of(model: nn.Module) -> list[object]:
    """Everything that an evaluation could leave behind in a model."""
    return [
        (sorted(vars(module)), module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for module in model.modules()
    ]


def trained(store_path, watched: bool, **options):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    torch.manual_seed(5)
    if not watched:
        return train(model, 6, clip=0.5), model, torch.get_rng_state(), None
    with watch(model, store=store_path, run="r", holdout=HELD, **options) as probe:
        losses = train(model, 6, probe, clip=0.5)
        rng = torch.get_rng_state()
    return losses, model, rng, open_store(store_path)


def test_training_is_bit_identical_with_evaluations(store_path):
    plain, weights, rng, _ = trained(store_path, watched=False)
    seen, seen_weights, seen_rng, store = trained(store_path, watched=True, evaluate_every=2)
    assert plain == seen
    assert all(torch.equal(a, b) for a, b in zip(weights.parameters(), seen_weights.parameters(), strict=True))
    assert torch.equal(rng, seen_rng)
    assert state_of(weights) == state_of(seen_weights)
    rows = store.interventions()
    assert sorted(set(rows.step)) == [0, 2, 4, 6]
    assert set(rows.action) == {"skip", "zero", "repeat"}
    assert set(store.scalars(name=[f"evaluated/{name}" for name in CHEAP]).name) == {f"evaluated/{n}" for n in CHEAP}


def test_step_k_is_weights_after_k_updates(store_path):
    expected, model = {}, build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with watch(model, store=store_path, run="r", holdout=HELD, evaluate_every=2, evaluate_only="skip") as probe:
        for step, ids_BT in enumerate(batches(5)):
            if step % 2 == 0:
                expected[step] = sequence_losses(model, as_holdout(HELD)).mean
            loss_of(model, ids_BT).backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 2:
                records = probe.evaluate(only=["skip"])
                expected[3] = sequence_losses(model, as_holdout(HELD)).mean
    assert {r.step for r in records} == {3}
    scalars = open_store(store_path).scalars(name="holdout_loss")
    assert dict(zip(scalars.step, scalars.value, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_evaluating_between_forward_and_backward_disturbs_neither(store_path):
    gradients = []
    for evaluates in (False, True):
        model = build_model("prepbn", layers=3, width=32, heads=2, vocab=64, seed=1)
        with watch(model, store=store_path, holdout=HELD) as probe:
            loss = loss_of(model, HELD[0])
            if evaluates:
                assert probe.evaluate(only="skip,repeat")
            loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("raised", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_nothing_stays_in_the_model_when_a_forward_is_cut_short(model, store_path, raised):
    torch.manual_seed(0)
    before, weights, rng = state_of(model), [p.clone() for p in model.parameters()], torch.get_rng_state()
    calls = []

    def breaks_later(model, batch):
        calls.append(1)
        if len(calls) > 20:
            raise raised
        return loss_of(model, batch)

    probe = watch(model, store=store_path, run="r")
    attached = state_of(model)
    if isinstance(raised, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            probe.evaluate(HELD, breaks_later, only="skip,repeat")
    else:
        with pytest.warns(RuntimeWarning, match="out of memory"):
            probe.evaluate(HELD, breaks_later, only="skip,repeat")
    assert state_of(model) == attached
    probe.close()
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


def test_what_the_loop_asks_wrongly_is_a_warning_and_what_watch_is_asked_an_error(model, store_path):
    with watch(model, store=store_path) as probe:
        with pytest.warns(RuntimeWarning, match="held-out batches"):
            assert probe.evaluate() == []
        with pytest.warns(RuntimeWarning, match="only to name"):
            assert probe.evaluate(HELD, only="everything") == []
    for wrong in ({"evaluate_every": 5}, {"holdout": 3}, {"holdout": HELD, "evaluate_every": 0}):
        with pytest.raises(DepthscopeError, match="expected"):
            watch(model, store=store_path, **wrong)


def test_a_kind_is_measured_once_on_the_same_weights(model, store_path):
    with watch(model, store=store_path, holdout=HELD) as probe:
        assert any(isinstance(r, Intervention) for r in probe.evaluate(only="skip"))
        assert probe.evaluate(only="skip") == []
        assert {r.action for r in probe.evaluate(only="skip,repeat") if isinstance(r, Intervention)} == {"repeat"}


def test_an_early_evaluation_finds_the_sites_by_itself(model, store_path):
    with watch(model, store=store_path, holdout=HELD) as probe:
        records = probe.evaluate(only="zero")
    assert {r.site for r in records if isinstance(r, Intervention)} == {"attn_out", "mlp_out"}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_model_is_evaluated_before_its_updates(model, store_path):
    compiled = torch.compile(model, backend="aot_eager")
    expected = sequence_losses(model, as_holdout(HELD)).mean
    with watch(
        model, store=store_path, run="r", every=1, holdout=HELD, evaluate_every=1, evaluate_only="skip"
    ) as probe:
        train(compiled, 2, probe)
    scalars = open_store(store_path).scalars(name="holdout_loss")
    assert list(scalars.step) == [0, 1, 2]
    assert scalars.value[0] == pytest.approx(expected, abs=1e-9)


def test_evaluations_under_autocast_leave_training_as_it_was(store_path):
    results = []
    for every in (None, 1):
        model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, store=store_path, holdout=HELD, evaluate_every=every):
            for ids_BT in batches(3):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = loss_of(model, ids_BT)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        results.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_bfloat16_weights_are_measured(store_path):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1).bfloat16()
    with watch(model, store=store_path, holdout=HELD) as probe:
        rows = [r for r in probe.evaluate() if isinstance(r, Intervention)]
    assert {r.action for r in rows} == {"skip", "zero", "repeat", "prune_set"}
    assert all(torch.isfinite(torch.tensor([r.loss, r.delta, r.delta_se])).all() for r in rows)


def test_a_shared_block_is_evaluated_at_each_of_its_turns(store_path):
    from own_models import Looped

    torch.manual_seed(0)
    model = Looped()
    ids_BT = torch.randint(97, (4, 9))
    with watch(model, store=store_path, holdout=ids_BT, every=1) as probe:
        F.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten()).backward()
        rows = [r for r in probe.evaluate(only="skip,zero,repeat") if isinstance(r, Intervention)]
    skipped = {r.layer: r.loss for r in rows if r.action == "skip"}
    assert len(skipped) == len(set(skipped.values())) == 4
    assert sum(r.action == "zero" for r in rows) == 8
