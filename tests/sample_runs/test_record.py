"""The recording path, on runs small enough for a test."""

import io
from pathlib import Path

from rich.console import Console

from depthscope.sample_runs.recipes import Recipe, recipes_for
from depthscope.sample_runs.record import record
from depthscope.sample_runs.recorded import recorded_bundles
from depthscope.store import import_bundle, open_store

TINY = Recipe("pre", layers=2, width=8, heads=2, seq_len=8, batch=2, steps=2)


def test_recorded_runs_can_be_imported(tmp_path: Path) -> None:
    destination = tmp_path / "recorded"
    (destination / "pre").mkdir(parents=True)
    (destination / "pre" / "old.parquet").touch()
    recipes = recipes_for(TINY, ("pre", "post"))
    assert record(recipes, destination, Console(file=io.StringIO())) == 0
    bundles = recorded_bundles(destination)
    assert [bundle.name for bundle in bundles] == ["post", "pre"]
    assert not (destination / "pre" / "old.parquet").exists()
    for bundle in bundles:
        import_bundle(bundle, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert sorted(store.runs()["run"]) == sorted(recipe.name for recipe in recipes)
    assert len(store.steps(runs=["post-2x8-seed0"])) == 2
