"""A probe never changes the run: the same losses and weights, nothing in checkpoints, nothing left behind."""

import copy
import io
import pickle
import sys
import warnings

import pytest
import torch
from loops import batches, loss_of, train
from torch import nn

from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError


def global_hooks() -> tuple[int, int]:
    module = sys.modules["torch.optim.optimizer"]  # torch.optim hides it behind a function of the same name
    return len(module._global_optimizer_pre_hooks), len(module._global_optimizer_post_hooks)


def hooks_of(model: nn.Module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for module in model.modules() for name in names)


@pytest.mark.parametrize("strategy", ["pre", "post", "peri", "mix", "lns"])
@pytest.mark.parametrize("every", [1, 3])
def test_training_is_bit_identical(strategy, every, store_path):
    results = []
    for watched in (False, True):
        model = build_model(strategy, layers=3, width=32, heads=2, vocab=64, seed=1)
        torch.manual_seed(5)
        if watched:
            with watch(model, store=store_path, every=every, probe_batch=batches(1)[0]) as probe:
                losses = train(model, 6, probe, clip=0.5)
        else:
            losses = train(model, 6, clip=0.5)
        results.append((losses, [p.detach().clone() for p in model.parameters()], torch.get_rng_state()))
    (plain, weights, rng), (seen, seen_weights, seen_rng) = results
    assert plain == seen
    assert all(torch.equal(a, b) for a, b in zip(weights, seen_weights, strict=True))
    assert torch.equal(rng, seen_rng)


def test_state_dict_pickle_deepcopy_and_save_are_as_without(model, store_path):
    keys = list(model.state_dict())
    with watch(model, store=store_path, every=1) as probe:
        train(model, 2, probe)
        assert list(model.state_dict()) == keys
        twin = copy.deepcopy(model)
        loaded = pickle.loads(pickle.dumps(model))
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        saved = torch.load(file, weights_only=False)
        steps = probe._session.step
        for copied in (twin, loaded, saved):
            train(copied, 1)
            assert torch.isfinite(loss_of(copied, batches(1)[0]))
        assert probe._session.step == steps  # a copy's training is not the run's


def test_every_hook_is_gone_after_close(model, store_path):
    kept = model.blocks[1].register_forward_hook(lambda *a: None)
    clip = torch.nn.utils.clip_grad._clip_grads_with_norm_
    optimizer_hooks = global_hooks()
    probe = watch(model, store=store_path, every=1)
    train(model, 2, probe)
    assert hooks_of(model) > 10
    probe.close()
    probe.close()
    assert hooks_of(model) == 1
    assert torch.nn.utils.clip_grad._clip_grads_with_norm_ is clip
    assert global_hooks() == optimizer_hooks
    kept.remove()


def test_hooks_are_gone_after_an_exception_in_forward(model, store_path):
    with pytest.raises(IndexError), watch(model, store=store_path, every=1):
        model(torch.full((2, 4), 999))
    assert hooks_of(model) == 0


def test_a_second_probe_on_the_same_model_is_refused(model, store_path):
    with watch(model, store=store_path), pytest.raises(DepthscopeError, match="watched, this one is already"):
        watch(model, store=store_path)
    watch(model, store=store_path).close()


def test_a_failing_part_warns_once_records_an_event_and_training_goes_on(model, store_path, read):
    def broken(args, kwargs):
        raise RuntimeError("no mask today")

    with (
        watch(model, store=store_path, run="r", every=1, mask=broken) as probe,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        train(model, 4, probe)
    assert [str(w.message) for w in caught if "depthscope" in str(w.message)] == [
        "depthscope: mask failed and is left out from here on (RuntimeError: no mask today)"
    ]
    assert len(read().steps(runs=["r"])) == 4
    assert "no mask today" in read().events(runs=["r"]).text.iloc[0]


def test_nothing_raises_into_the_loop_even_where_warnings_are_errors(model, store_path):
    with watch(model, store=store_path, every=1, mask=lambda a, k: 1 / 0) as probe:
        assert len(train(model, 2, probe)) == 2
        probe.log(loss="not a number", other=object())


def test_no_activation_outlives_its_step(model, store_path):
    import gc
    import weakref

    kept = []
    model.blocks[1].register_forward_hook(lambda m, a, out: kept.append(weakref.ref(out)))
    with watch(model, store=store_path, every=1) as probe:
        train(model, 3, probe)
        gc.collect()
        assert len(kept) >= 3
        assert [ref() for ref in kept] == [None] * len(kept)


def test_an_unclosed_probe_lets_its_model_go(store_path):
    import gc
    import weakref

    model = build_model("pre", layers=2, width=32, heads=2, vocab=64)
    probe = watch(model, store=store_path, every=1)
    train(model, 1, probe)
    gone = weakref.ref(model)
    del model, probe
    gc.collect()
    assert gone() is None
