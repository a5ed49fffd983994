"""Which step a number belongs to, and which forwards count: the contract of `watch` on plain loops."""

import pandas as pd
import pytest
import torch
from loops import batches, loss_of, train

from depthscope.probes import watch


def steps_of(read, run="r") -> pd.DataFrame:
    return read().steps(runs=[run]).sort_values("step").reset_index(drop=True)


def test_steps_count_updates_from_zero(model, store_path, read):
    with watch(model, store=store_path, run="r", every=1) as probe:
        losses = train(model, 5, probe)
    steps = steps_of(read)
    assert steps.step.tolist() == [0, 1, 2, 3, 4]
    assert steps.loss.tolist() == pytest.approx(losses, rel=1e-6)
    assert steps.tokens.tolist() == [48, 96, 144, 192, 240]
    assert steps.lr.tolist() == [0.01] * 5


def test_early_steps_are_sampled_densely_and_all_steps_are_logged(model, store_path, read):
    with watch(model, store=store_path, run="r", every=6) as probe:
        train(model, 14, probe)
    steps = steps_of(read)
    assert steps.step.tolist() == list(range(14))
    assert steps.step[steps.sampled].tolist() == [0, 1, 2, 4, 6, 12]
    assert sorted(set(read().layer_stats(runs=["r"]).step)) == [0, 1, 2, 4, 6, 12]


def test_log_before_or_after_the_update_belongs_to_the_same_step(model, store_path, read):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, store=store_path, run="r", every=1) as probe:
        for i, ids_BT in enumerate(batches(3)):
            loss = loss_of(model, ids_BT)
            probe.log(before=i)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log(after=10 * i, loss=loss)
    scalars = read().scalars(runs=["r"])
    rows = {(r.step, r.name): r.value for r in scalars.itertuples()}
    assert rows == {(i, name): v for i in range(3) for name, v in (("before", i), ("after", 10 * i))}


def accumulated(model, store_path, pieces, run):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, store=store_path, run=run, every=1) as probe:
        for ids_BT in batches(2, size=8):
            for part_BT in ids_BT.chunk(pieces):
                loss = loss_of(model, part_BT) / pieces
                loss.backward()
                probe.log(loss=loss * pieces)
            optimizer.step()
            optimizer.zero_grad()


def test_micro_batches_equal_one_large_batch(store_path, read):
    from depthscope.sample_runs import build_model

    for run, pieces in (("whole", 1), ("parts", 4)):
        accumulated(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1), store_path, pieces, run)
    sampled = {"variance_median", "median_abs"}
    whole, parts = (
        read().layer_stats(runs=[run]).drop(columns=["run", *sampled]).sort_values(["step", "layer", "site"])
        for run in ("whole", "parts")
    )
    pd.testing.assert_frame_equal(
        whole.reset_index(drop=True), parts.reset_index(drop=True), rtol=1e-5, atol=1e-7, check_exact=False
    )
    steps = [steps_of(read, run)[["step", "loss", "tokens", "grad_norm"]] for run in ("whole", "parts")]
    pd.testing.assert_frame_equal(*steps, rtol=1e-5)
    top = [
        read().massive(runs=[run])[["step", "layer", "rank", "value", "sequence", "token", "channel"]]
        for run in ("whole", "parts")
    ]
    top = [frame[frame.layer > 0] for frame in top]  # equal tokens tie in the embeddings
    top = [frame.sort_values(["step", "layer", "rank"]).reset_index(drop=True) for frame in top]
    pd.testing.assert_frame_equal(*top, rtol=1e-5)


def test_forwards_without_training_are_not_counted(model, store_path, read):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    (ids_BT,) = batches(1)
    with watch(model, store=store_path, run="r", every=1):
        for _ in range(2):
            model.eval()
            model(ids_BT * 0)
            model.train()
            with torch.no_grad():
                model(ids_BT * 0)
            loss_of(model, ids_BT).backward()
            optimizer.step()
            optimizer.zero_grad()
    stats = read().layer_stats(runs=["r"], site="resid_post", columns=["variance"])
    by_step = [stats[stats.step == k].sort_values("layer").variance.tolist() for k in (0, 1)]
    assert by_step[0] == by_step[1]  # the learning rate is 0: the same weights, the same batch, nothing mixed in
    assert steps_of(read).tokens.tolist() == [48, 96]


def test_two_optimizers_make_one_step(model, store_path, read):
    parameters = list(model.parameters())
    first, second = (torch.optim.SGD(part, lr=0.1) for part in (parameters[:5], parameters[5:]))
    with watch(model, store=store_path, run="r", every=1):
        for ids_BT in batches(3):
            loss_of(model, ids_BT).backward()
            expected = torch.cat([p.grad.flatten() for p in parameters]).norm().item()
            first.step()
            first.zero_grad()
            second.step()
            second.zero_grad()
    steps = steps_of(read)
    assert steps.step.tolist() == [0, 1, 2]
    assert steps.grad_norm.iloc[-1] == pytest.approx(expected, rel=1e-5)


def test_each_of_two_optimizers_may_clip_its_own(model, store_path, read):
    parameters = list(model.parameters())
    parts = parameters[:5], parameters[5:]
    optimizers = [torch.optim.SGD(part, lr=0.1) for part in parts]
    norms = []
    with watch(model, store=store_path, run="r", every=1):
        for ids_BT in batches(2):
            loss_of(model, ids_BT).backward()
            norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
            for part, optimizer in zip(parts, optimizers, strict=True):
                torch.nn.utils.clip_grad_norm_(part, 1e-3)
                optimizer.step()
                optimizer.zero_grad()
    assert steps_of(read).grad_norm.tolist() == pytest.approx(norms, rel=1e-4)  # before clipping
    assert "clip_factor" not in steps_of(read) or steps_of(read).clip_factor.isna().all()  # there were two


def test_clipping_of_another_model_or_of_a_part_is_not_the_total_norm(model, store_path, read):
    other = torch.nn.Linear(2, 2)
    with watch(model, store=store_path, run="r", every=lambda step: False):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for clipped in (other, model.blocks[0], model):
            other(torch.ones(1, 2)).sum().backward()
            loss_of(model, batches(1)[0]).backward()
            total = torch.nn.utils.clip_grad_norm_(clipped.parameters(), 0.1).item()
            optimizer.step()
            optimizer.zero_grad()
    steps = steps_of(read)
    assert steps.grad_norm.isna().tolist() == [True, True, False]
    assert steps.grad_norm.iloc[2] == pytest.approx(total, rel=1e-6)
    assert steps.clip_factor.isna().tolist() == [True, False, False]


def test_another_models_optimizer_makes_no_step(model, store_path, read):
    other = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 2, probe)
        for _ in range(3):
            other(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    assert steps_of(read).step.tolist() == [0, 1]


def test_an_optimizer_that_is_given_the_model_later_makes_steps(model, store_path, read):
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
    with watch(model, store=store_path, run="r", every=1):
        for i, ids_BT in enumerate(batches(3)):
            loss_of(model, ids_BT).backward()
            optimizer.step()
            if i == 0:
                optimizer.add_param_group({"params": list(model.parameters())})
    assert steps_of(read).step.tolist() == [0, 1]
    assert steps_of(read).tokens.tolist() == [96, 144]  # the first batch was accumulated


def test_a_loop_without_optimizer_steps_by_hand(model, store_path, read):
    with watch(model, store=store_path, run="r", every=1) as probe:
        for ids_BT in batches(3):
            loss_of(model, ids_BT).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
            probe.step()
            model.zero_grad()
    assert steps_of(read).step.tolist() == [0, 1, 2]
    stats = read().layer_stats(runs=["r"], site="block")
    assert (stats.param_grad_norm > 0).all()
    assert "update_ratio" not in stats  # nobody saw the weights before they moved


def test_probe_batch_is_measured_beside_training_and_touches_nothing(store_path, read):
    from depthscope.sample_runs import build_model

    (held_out,) = batches(1, seed=9)
    losses = {}
    for run, batch in (("without", None), ("with", held_out)):
        model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
        model.blocks[0].mlp.register_forward_hook(lambda m, a, out: torch.nn.functional.dropout(out, 0.2, m.training))
        torch.manual_seed(0)
        with watch(model, store=store_path, run=run, every=2, probe_batch=batch, probe_every=4) as probe:
            losses[run] = train(model, 9, probe)
        assert all(module.training for module in model.modules())
    assert losses["with"] == losses["without"]
    stats = read().layer_stats(runs=["with"], phase="probe", site="resid_post", columns=["variance"])
    assert sorted(set(stats.step)) == [0, 1, 2, 4, 8]
    assert sorted(set(stats.layer)) == [0, 1, 2, 3]
    assert not len(read().layer_stats(runs=["without"], phase="probe"))


def test_events_and_resume(model, store_path, read):
    with watch(model, store=store_path, run="r", every=1) as probe:
        train(model, 3, probe)
        probe.event("lr re-warm")
    with watch(model, store=store_path, run="r", every=1, resume=True, start_step=2) as probe:
        train(model, 2, probe)
    assert steps_of(read).step.tolist() == [0, 1, 2, 3]
    assert "lr re-warm" not in read().events(runs=["r"]).text.tolist()  # it was at step 2, which was replaced


def test_status_tells_how_the_run_ended(model, store_path, read):
    with watch(model, store=store_path, run="good", every=1) as probe:
        train(model, 1, probe)
    with pytest.raises(ZeroDivisionError), watch(model, store=store_path, run="bad", every=1):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), watch(model, store=store_path, run="stopped", every=1):
        raise KeyboardInterrupt
    status = read().runs().set_index("run").status
    assert (status["good"], status["bad"], status["stopped"]) == ("finished", "failed", "interrupted")


def test_a_nan_is_found_in_the_layer_and_at_the_step_where_it_begins(store_path, read):
    from depthscope.sample_runs import build_model

    losses = {}
    for watched in (False, True):
        model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
        probe = watch(model, store=store_path, run="r", every=1) if watched else None
        losses[watched] = train(model, 2, probe)
        bad = model.blocks[1].mlp.register_forward_hook(
            lambda module, args, out: out.index_fill(1, torch.tensor([3]), torch.nan)
        )
        losses[watched] += train(model, 1, probe)
        bad.remove()
        if probe is not None:
            probe.close()
    assert str(losses[True]) == str(losses[False])  # nan is not nan
    stats = read().layer_stats(runs=["r"], site="resid_post", phase="train").sort_values(["step", "layer"])
    found = stats[stats.nonfinite > 0]
    assert found.step.tolist() == [2, 2]
    assert found.layer.tolist() == [2, 3]
    assert found.nonfinite.iloc[0] == 4 * 32  # one token of each sequence
    summarised = stats[stats.layer < 3][["variance", "mean_square", "abs_max", "kurtosis"]]
    assert summarised.notna().all().all()  # of the other tokens; the next block's attention carries the NaN to them
