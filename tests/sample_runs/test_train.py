"""The runner on tiny models, with the real probe and store."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from depthscope.sample_runs import train as runner
from depthscope.sample_runs.corpus import load_corpus
from depthscope.sample_runs.recipes import STANDARD, Recipe, recipes_for, to_json
from depthscope.store import RunNameTaken, open_store

TINY = Recipe("pre", layers=2, width=8, heads=2, seq_len=8, batch=2, steps=6, every=2, evaluate_every=4)


def losses(store: Path, run: str) -> list[float]:
    frame = open_store(store).sql("SELECT loss FROM all_steps WHERE run = ? ORDER BY step", [run])
    return frame["loss"].tolist()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one tiny run of each standard strategy."""
    store = tmp_path_factory.mktemp("trained") / "store"
    for recipe in recipes_for(TINY, STANDARD):
        runner.train(recipe, str(store))
    return store


def test_what_is_known_of_a_run_is_in_the_store(trained: Path) -> None:
    runs = open_store(trained).runs().set_index("run")
    assert sorted(runs.index) == sorted(f"{strategy}-2x8-seed0" for strategy in STANDARD)
    assert runs["strategy"].to_dict() == {f"{strategy}-2x8-seed0": strategy for strategy in STANDARD}
    assert set(runs["status"]) == {"finished"}
    assert set(runs["data_id"]) == {load_corpus().data_id}
    assert set(runs["group_name"]) == {TINY.group}
    assert set(runs["seed"]) == {0}
    config = runs.loc["lns-2x8-seed0", "config"]
    config = json.loads(config) if isinstance(config, str) else config
    assert config["lr"] == TINY.lr
    assert config["strategy"] == "lns"


def test_every_step_has_its_loss_and_the_schedule_is_a_cosine_after_a_warm_up(trained: Path) -> None:
    frame = open_store(trained).sql("SELECT step, lr, tokens FROM all_steps WHERE run = 'pre-2x8-seed0' ORDER BY step")
    assert frame["step"].tolist() == list(range(6))
    assert frame["lr"].tolist() == pytest.approx([TINY.lr * runner.lr_factor(step, TINY) for step in range(6)])
    assert len(losses(trained, "pre-2x8-seed0")) == 6


def test_held_out_loss_belongs_to_the_weights_of_its_step(trained: Path) -> None:
    found = open_store(trained).scalars(runs=["pre-2x8-seed0"], name="held_out_loss")
    assert found["step"].tolist() == [0, 4, 5]
    model = runner.model_of(TINY)
    held_out = runner.spaced_batch(load_corpus().held_out, runner.HELD_OUT_TOKENS, 8)
    assert found["value"].iloc[0] == pytest.approx(runner.evaluate(model, *held_out), abs=1e-6)


def test_both_phases_are_there_at_every_layer(trained: Path) -> None:
    for phase in ("train", "probe"):
        stats = open_store(trained).layer_stats(runs=["post-2x8-seed0"], site="resid_post", phase=phase)
        first = stats[stats["step"] == 0]
        assert sorted(first["layer"]) == [0, 1, 2]
        assert first["mean_square"].iloc[1:].tolist() == pytest.approx([1, 1], abs=1e-3)


def test_the_same_seed_gives_the_same_losses(trained: Path, tmp_path: Path) -> None:
    runner.train(TINY, str(tmp_path / "again"))
    runner.train(replace(TINY, seed=1), str(tmp_path / "again"))
    again = losses(tmp_path / "again", "pre-2x8-seed0")
    assert again == losses(trained, "pre-2x8-seed0")
    assert again != losses(tmp_path / "again", "pre-2x8-seed1")


def test_all_strategies_see_the_same_first_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, list[list[int]]] = {}
    honest = runner.next_byte_loss
    for recipe in recipes_for(TINY, STANDARD):
        batches = seen.setdefault(recipe.strategy, [])

        def spying(model, ids_BT, targets_BT, batches=batches):
            if model.training:
                batches.append(ids_BT.tolist())
            return honest(model, ids_BT, targets_BT)

        monkeypatch.setattr(runner, "next_byte_loss", spying)
        runner.train(recipe, str(tmp_path / "store"))
    assert len(seen["pre"]) == TINY.steps
    assert all(batches == seen["pre"] for batches in seen.values())


def test_a_taken_name_is_numbered_or_where_asked_for_an_error(trained: Path) -> None:
    with pytest.raises(RunNameTaken):
        runner.train(TINY, str(trained), run="pre-2x8-seed0")
    assert runner.train(replace(TINY, steps=1), str(trained))["run"] == "pre-2x8-seed0-2"
    assert len(losses(trained, "pre-2x8-seed0")) == 6


def test_a_run_that_diverges_ends_there_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest, calls = runner.next_byte_loss, []

    def exploding(model, ids_BT, targets_BT):
        loss = honest(model, ids_BT, targets_BT)
        calls.append(model.training)
        return loss * float("nan") if sum(calls) == 4 else loss

    monkeypatch.setattr(runner, "next_byte_loss", exploding)
    lines = []
    last = runner.train(TINY, str(tmp_path / "store"), report=lines.append)
    assert last["status"] == "diverged"
    assert last["step"] == 3
    assert json.dumps(lines, allow_nan=False)
    events = open_store(tmp_path / "store").events()
    assert events["text"].str.contains("diverged: the loss is nan at step 3").sum() == 1
    assert len(losses(tmp_path / "store", "pre-2x8-seed0")) == 4


def test_an_interrupted_run_stays_readable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(line: dict) -> None:
        if "loss" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.train(TINY, str(tmp_path / "store"), report=stop)
    assert open_store(tmp_path / "store").runs()["status"].tolist() == ["interrupted"]


def test_main_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--recipe", to_json(TINY), "--store", str(tmp_path / "store"), "--run", "chosen <b>"]
    assert runner.main(arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"run": "chosen <b>", "steps": 6}
    assert lines[-2]["step"] == 6
    assert lines[-2]["rate"] > 0
    assert lines[-1]["status"] == "finished"
    assert runner.main(arguments) == 2
    assert "chosen <b>" in json.loads(capsys.readouterr().out)["error"]


def test_main_tells_what_is_wrong_with_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--recipe", json.dumps({"strategy": "sideways"})]) == 2
    assert "expected a strategy out of pre, post" in json.loads(capsys.readouterr().out)["error"]


def test_warm_up_and_cosine() -> None:
    recipe = Recipe("pre", steps=100, warmup=0.1)
    factors = [runner.lr_factor(step, recipe) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.55, abs=1e-6)
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)
    assert runner.lr_factor(0, Recipe("pre", steps=1, warmup=1.0)) == pytest.approx(0.5)
    assert torch.tensor(factors).max() == 1
