"""Two gloo processes give the numbers of one: DDP and FSDP2, with one writer and no rank waiting for another."""

import pandas as pd
import pytest
from ranks import model_of, run_ranks, train

from depthscope.probes import watch
from depthscope.store import open_store

SAMPLED = ("variance_median", "median_abs")  # medians of each rank's tokens, weighted
WHOLE = ("block", "embed", "final_norm", "head", "other")


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "store"
    for kind in ("alone", "frozen-alone"):
        train_alone(kind, path)
    return path


def train_alone(kind, path):
    import ranks

    original = ranks.model_of
    ranks.model_of = lambda _: original(kind.removesuffix("-alone"))
    try:
        train(kind, 0, 1, path)
    finally:
        ranks.model_of = original


def rows(path, run):
    frame = open_store(path).layer_stats(runs=[run], phase="train").drop(columns=["run", *SAMPLED])
    return frame.sort_values(["step", "site", "layer"]).reset_index(drop=True)


@pytest.mark.parametrize("kind", ["ddp", "ddp-inner", "fsdp", "fsdp-after", "frozen"])
def test_two_ranks_equal_one_process(store_path, kind):
    run_ranks(kind, 2, store_path)
    alone = "frozen-alone" if kind == "frozen" else "alone"
    pd.testing.assert_frame_equal(rows(store_path, kind), rows(store_path, alone), rtol=2e-5, atol=1e-7)
    store = open_store(store_path)
    steps = [store.steps(runs=[run]).sort_values("step") for run in (kind, alone)]
    assert steps[0].tokens.tolist() == steps[1].tokens.tolist()
    # Between samples the norm of sharded gradients is not known: to know it would be a collective.
    steps = [s[s.sampled] for s in steps]
    assert steps[0].grad_norm.tolist() == pytest.approx(steps[1].grad_norm.tolist(), rel=1e-5)
    top = [store.massive(runs=[run], phase="train").query("layer > 0 and rank == 1") for run in (kind, alone)]
    top = [t.sort_values(["step", "layer"])[["value", "sequence", "token", "channel"]].to_numpy() for t in top]
    assert top[0] == pytest.approx(top[1], rel=1e-5)
    assert store.runs().set_index("run").world_size[kind] == 2
    assert store.events(runs=[kind]).empty


def test_a_refusal_reaches_every_rank(store_path):
    watch(model_of("taken"), store=store_path, run="taken").close()
    run_ranks("taken", 2, store_path)
