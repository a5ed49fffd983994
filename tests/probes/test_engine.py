"""The statistics are the same from plain operations and compiled, training is bit-identical with each, and a machine
without a compiler goes on with plain ones."""

import time

import pandas as pd
import pytest
import torch
from loops import train

from depthscope.probes import engine, watch
from depthscope.sample_runs import build_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


def run(store_path, name, steps=3):
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    with watch(model, store=store_path, run=name, every=1) as probe:
        losses = train(model, steps, probe)
    return losses, [p.detach().clone() for p in model.parameters()]


def rows(read, name):
    frame = read().layer_stats(runs=[name]).drop(columns="run")
    return frame.sort_values(["step", "site", "layer"]).reset_index(drop=True)


@pytest.mark.long
def test_compiled_statistics_equal_plain_ones(store_path, read, monkeypatch):
    plain = run(store_path, "plain")
    monkeypatch.setattr(engine, "COMPILING_COSTS_S", 0.0)
    monkeypatch.setattr(engine.Engine.__init__, "__defaults__", (0.0,))
    torch._dynamo.reset()
    compiled = run(store_path, "compiled")
    torch._dynamo.reset()
    assert plain[0] == compiled[0]
    assert all(torch.equal(a, b) for a, b in zip(plain[1], compiled[1], strict=True))
    pd.testing.assert_frame_equal(rows(read, "compiled"), rows(read, "plain"), rtol=1e-6, atol=1e-7)
    assert read().events().empty


def test_a_machine_without_a_compiler_says_so_once_and_goes_on(store_path, read, monkeypatch):
    def no_compiler(*args, **kwargs):
        def fails(*tensors):
            raise RuntimeError("no C++ compiler found")

        return fails

    plain = run(store_path, "plain")
    monkeypatch.setattr(engine.Engine.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.warns(RuntimeWarning, match="compiling the statistics"):
        fallback = run(store_path, "fallback")
    assert plain[0] == fallback[0]
    pd.testing.assert_frame_equal(rows(read, "fallback"), rows(read, "plain"))
    assert read().events().text.str.contains("no C\\+\\+ compiler").tolist() == [True]


def test_time_in_which_others_had_the_core_does_not_count():
    run_engine = engine.Engine(lambda part, error: None, patience_s=0.05)
    run_engine(lambda x: time.sleep(0.2), torch.tensor(1.0))
    calls = []
    run_engine(lambda x: calls.append(float(x)), torch.tensor(1.0))
    assert calls == [1.0]
    assert not run_engine._compiled


def test_short_runs_stay_with_plain_operations():
    calls = []
    run_engine = engine.Engine(lambda part, error: None, patience_s=30.0)
    for _ in range(3):
        run_engine(lambda x: calls.append(float(x)), torch.tensor(1.0))
    assert calls == [1.0] * 3
    assert not run_engine._compiled
