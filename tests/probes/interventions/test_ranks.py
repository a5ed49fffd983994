"""Held-out measurements with several ranks: the first one measures, alone and without a collective."""

from ranks import run_ranks

from depthscope.store import open_store


def test_the_first_rank_measures_a_ddp_model_and_nobody_hangs(store_path):
    run_ranks("evaluate", 2, store_path)
    store = open_store(store_path)
    assert sorted(set(store.interventions().step)) == [0, 2, 4]
    assert store.interventions().query("step == 2 and action == 'skip'").layer.tolist() == [1, 2, 3]
    assert set(store.events().kind) == {"evaluation"}


def test_sharded_models_are_refused(store_path):
    run_ranks("evaluate-sharded", 2, store_path)
    events = open_store(store_path).events(runs=["sharded"])
    assert events.text.str.contains("sharded").any()
