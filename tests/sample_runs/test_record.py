"""The recording path, on runs small enough for a test."""

import io
from pathlib import Path

from rich.console import Console

from depthscope.sample_runs.checkpoints import checkpoints_of
from depthscope.sample_runs.recipes import Recipe, recipes_for
from depthscope.sample_runs.record import record, train_missing, unfinished
from depthscope.sample_runs.recorded import recorded_bundles
from depthscope.store import RunInfo, Step, import_bundle, open_run, open_store

TINY = Recipe("pre", layers=2, width=8, heads=2, seq_len=8, batch=2, steps=2)


def test_recorded_runs_can_be_imported(tmp_path: Path) -> None:
    destination, work = tmp_path / "recorded", tmp_path / "work"
    (destination / "runs").mkdir(parents=True)
    (destination / "runs" / "old.parquet").touch()
    recipes = recipes_for(TINY, ("pre", "post"))
    assert record(recipes, destination, work, Console(file=io.StringIO())) == 0
    (bundle,) = recorded_bundles(destination)
    assert not (bundle / "old.parquet").exists()
    import_bundle(bundle, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert sorted(store.runs()["run"]) == sorted(recipe.name for recipe in recipes)
    assert len(store.steps(runs=["post-2x8-seed0"])) == 2
    for recipe in recipes:
        assert list(checkpoints_of(work / "checkpoints", recipe)) == [0, 1, 2]
    skipped = store.interventions(action="skip", site="block")
    assert sorted({*zip(skipped.run, skipped.step, strict=True)}) == [
        (f"{strategy}-2x8-seed0", step) for strategy in ("post", "pre") for step in (0, 1, 2)
    ]
    assert {*store.sparsity().weights} == {"current", "init"}
    assert {*store.interventions(action="prune_set").run} == {recipe.name for recipe in recipes}


def test_a_recording_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second = recipes_for(TINY, ("pre", "post"))
    console = Console(file=io.StringIO())
    assert train_missing([first], tmp_path, console) == 0
    partial = open_run(tmp_path / "store", RunInfo(second.name))
    partial.write(Step(0, 0.0))
    partial.close("interrupted")
    assert unfinished([first, second], tmp_path / "store") == [second]
    assert train_missing([first, second], tmp_path, console) == 0
    store = open_store(tmp_path / "store")
    assert store.runs()["status"].tolist() == ["finished", "finished"]
    assert len(store.steps(runs=[second.name])) == 2
    assert unfinished([first, second], tmp_path / "store") == []
