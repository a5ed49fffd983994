"""Two gloo processes give the numbers of one: data, sharded, tensor and sequence parallel; one writes, none waits."""

import json

import pandas as pd
import pytest
import torch
from ranks import model_of, run_ranks, train

from depthscope.probes import watch
from depthscope.store import DepthscopeError, open_store

SAMPLED = ("variance_median", "median_abs")  # medians of each rank's tokens, weighted
HELD_OUT = ("ddp", "ddp-inner", "fsdp", "masked")  # held-out rows are compared as well
WITH_THEIR_OWN = ("frozen", "masked", "gates", "tensor", "sequence")  # way of training in one process


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "store"
    for kind in ("alone", *(f"{kind}-alone" for kind in WITH_THEIR_OWN)):
        train_alone(kind, path)
    return path


def train_alone(kind, path):
    import ranks

    original, threads = ranks.model_of, torch.get_num_threads()
    torch.set_num_threads(1)  # as every rank does: how sums are split must not depend on how busy the machine is
    ranks.model_of = lambda _: original(kind.removesuffix("-alone"))
    try:
        train(kind, 0, 1, path)
    finally:
        ranks.model_of = original
        torch.set_num_threads(threads)


def rows(path, run, phase="train"):
    frame = open_store(path).layer_stats(runs=[run], phase=phase).drop(columns=["run", *SAMPLED])
    return frame.sort_values(["step", "site", "layer"]).reset_index(drop=True)


@pytest.mark.parametrize("kind", ["ddp", "ddp-inner", "fsdp", "fsdp-after", *WITH_THEIR_OWN])
def test_two_ranks_equal_one_process(store_path, kind):
    run_ranks(kind, 2, store_path)
    alone = f"{kind}-alone" if kind in WITH_THEIR_OWN else "alone"
    for phase in ("train", "probe") if kind in HELD_OUT else ("train",):
        pd.testing.assert_frame_equal(
            rows(store_path, kind, phase), rows(store_path, alone, phase), rtol=2e-5, atol=1e-7
        )
    store = open_store(store_path)
    steps = [store.steps(runs=[run]).sort_values("step") for run in (kind, alone)]
    assert steps[0].tokens.tolist() == steps[1].tokens.tolist()
    if kind in ("tensor", "sequence"):  # which do not clip: between samples nobody reads their gradients
        steps = [s[s.sampled] for s in steps]
    assert steps[0].grad_norm.tolist() == pytest.approx(steps[1].grad_norm.tolist(), rel=1e-5)
    top = [store.massive(runs=[run], phase="train").query("layer > 0 and rank == 1") for run in (kind, alone)]
    # The model split along its tokens has no attention: equal tokens are equally large, and either place is right.
    where = ["value", "channel"] if kind == "sequence" else ["value", "sequence", "token", "channel"]
    top = [t.sort_values(["step", "layer"])[where].to_numpy() for t in top]
    assert top[0] == pytest.approx(top[1], rel=1e-5)
    assert store.runs().set_index("run").world_size[kind] == 2
    assert store.events(runs=[kind]).empty


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_sampled_step_has_one_collective_more_and_others_none(store_path, tmp_path, kind):
    run_ranks(f"{kind}-counted", 2, tmp_path)
    more = json.loads((tmp_path / "more.json").read_text())  # by step: 0, 1, 2 and 4 are sampled
    assert more == [1, 1, 1, 0, 1]


def test_a_refusal_reaches_every_rank(store_path):
    watch(model_of("taken"), store=store_path, run="taken").close()
    said = run_ranks("taken", 2, store_path)
    assert ["refused:" in text and "'taken'" in text for text in said] == [True, True], said


def test_tokens_are_those_of_all_ranks_at_every_step(store_path):
    run_ranks("uneven", 2, store_path)  # 3 x 12 on one, 1 x 7 on the other
    steps = open_store(store_path).steps(runs=["uneven"]).sort_values("step")
    assert steps.tokens.tolist() == [43 * (step + 1) for step in range(5)]


def test_a_rank_whose_probe_failed_holds_up_nobody(store_path):
    run_ranks("broken", 2, store_path)
    store = open_store(store_path)
    assert store.runs().set_index("run").status["broken"] == "finished"
    stats = store.layer_stats(runs=["broken"], site="resid_post", columns=["variance"])
    assert sorted(set(stats.step)) == [0, 1, 2, 4]
    whole = store.layer_stats(runs=["alone"], site="resid_post", columns=["variance"])
    first = [f[f.step == 0].query("phase == 'train'").sort_values("layer").variance.tolist() for f in (stats, whole)]
    assert first[0] == pytest.approx(first[1], rel=1e-5)


def test_a_rank_that_skips_a_layer_holds_up_nobody(store_path):
    run_ranks("skips", 2, store_path)
    stats = open_store(store_path).layer_stats(runs=["skips"], site="resid_post", phase="train", columns=["variance"])
    assert stats.groupby("step").layer.apply(sorted).tolist() == [[0, 1, 2, 3]] * 4


def test_stages_of_a_pipeline_are_refused_on_every_rank(store_path):
    said = run_ranks("stages", 2, store_path)
    assert ["refused:" in text and "stages of a pipeline" in text for text in said] == [True, True], said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_stage_that_torch_made_is_refused(store_path):
    from torch.distributed.pipelining import stage as stages

    model = model_of("stage")
    kind = stages._PipelineStageBase
    concrete = type("Stage", (kind,), dict.fromkeys(kind.__abstractmethods__))
    made = concrete.__new__(concrete)
    made.submod = model
    with pytest.raises(DepthscopeError, match="stages of a pipeline"):
        watch(model, store=store_path)
