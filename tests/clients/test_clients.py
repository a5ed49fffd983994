"""Every script here, run as its users run it, and what it leaves in the store."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from depthscope.store import open_store

HERE = Path(__file__).parent


def run(*command, code=0, cwd=HERE, **environment):
    """Run a command as a user would, with the tests' own models on the path; returns what it printed."""
    paths = [str(HERE.parent / "support"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def python(script, *arguments, **options):
    return run(sys.executable, "-W", "error::RuntimeWarning", HERE / script, *arguments, **options)


def depthscope(*arguments, **options):
    return run(sys.executable, "-m", "depthscope.app", *arguments, **options)


def check(store, name, steps, *, layers=3, loss=True):
    """A finished run of `steps` sampled steps with numbers for every layer, without anything that failed."""
    found = open_store(store)
    runs = found.runs().set_index("run")
    assert runs.status[name] == "finished"
    assert runs.strategy[name] == "pre"
    rows = found.steps(runs=[name])
    assert rows.step.tolist() == list(range(steps))
    assert rows.lr.notna().all()
    assert rows.tokens.diff().dropna().gt(0).all()
    assert rows.loss.notna().all() == loss
    stats = found.layer_stats(runs=[name], site="resid_post", columns=["variance", "act_grad_norm"])
    assert stats.groupby("step").layer.apply(list).tolist() == [list(range(layers + 1))] * steps
    assert stats.variance.gt(0).all()
    assert stats.act_grad_norm.gt(0).all()
    assert not found.events(runs=[name]).kind.eq("warning").any()
    return found


def test_an_unedited_script_gives_the_same_store_as_watch_in_it(tmp_path):
    python("watched.py", 6, tmp_path)
    told = depthscope("run", "--every", 2, "--store", tmp_path, "train.py", 6)
    assert "trained 6 steps" in told
    found = open_store(tmp_path)
    [name] = set(found.runs().run) - {"watched"}
    rows = {}
    for run_name in ("watched", name):
        stats = found.layer_stats(runs=[run_name]).drop(columns="run")
        rows[run_name] = stats.sort_values(["step", "phase", "stack", "layer", "site"]).reset_index(drop=True)
    assert len(rows[name]) > 50
    pd.testing.assert_frame_equal(rows["watched"], rows[name], check_exact=True)
    assert found.runs().set_index("run").status[name] == "finished"


@pytest.mark.long
def test_a_module_runs_as_python_m_does(tmp_path):
    depthscope("run", "--store", tmp_path, "-m", "train", 2)
    assert open_store(tmp_path).runs().n_layers.tolist() == [3]


@pytest.mark.long
def test_a_script_that_fails_shows_its_own_error_and_marks_the_run(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text("import train\ntrain.main(2)\nraise ValueError('mine')\n")
    told = depthscope("run", "--store", tmp_path / "s", script, code=1, PYTHONPATH=f"{HERE}:{HERE.parent / 'support'}")
    assert "ValueError: mine" in told
    assert open_store(tmp_path / "s").runs().status.tolist() == ["failed"]


@pytest.mark.long
def test_the_model_can_be_named(tmp_path):
    told = depthscope("run", "--store", tmp_path, "--model", "Nowhere", "train.py", 2, code=2)
    assert told.startswith("depthscope: expected --model to name a trained model, got 'Nowhere'; trained are: ")
    assert told.count("\n") == 1
    depthscope("run", "--store", tmp_path, "--model", "NanoGPT", "train.py", 2)
    assert open_store(tmp_path).runs().model.tolist() == ["NanoGPT"]


@pytest.mark.long
def test_a_script_that_trains_nothing_is_told_so(tmp_path):
    script = tmp_path / "empty.py"
    script.write_text("print('hello')\n")
    assert "nothing was recorded" in depthscope("run", "--store", tmp_path / "s", script)
    assert "found no file 'nowhere.py'" in depthscope("run", "nowhere.py", code=2)


@pytest.mark.long
def test_under_torchrun(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    run(*torchrun, sys.executable, "-m", "depthscope.app", "run", "--store", tmp_path, "train.py", 2)
    assert open_store(tmp_path).runs().status.tolist() == ["finished"]  # one run: rank 0's


@pytest.mark.long
def test_a_compiled_model(tmp_path):
    depthscope("run", "--every", 1, "--store", tmp_path, "compiled.py")
    check(tmp_path, open_store(tmp_path).runs().run.item(), 3, loss=False)


def test_hugging_face_trainer_with_accumulation_checkpointing_and_resume(tmp_path):
    python("hf_trainer.py", tmp_path / "s", tmp_path / "checkpoints")
    found = check(tmp_path / "s", "hf", 6)
    assert len(found.attempts()) == 2
    assert found.attempts().from_step.tolist() == [0, 2]
    assert "resume" in set(found.events(runs=["hf"]).kind)


def test_a_trainer_with_callbacks(tmp_path):
    python("mingpt.py", tmp_path)
    check(tmp_path, "mingpt", 4)


def test_accelerate(tmp_path):
    python("accelerate_loop.py", tmp_path)
    found = check(tmp_path, "accelerate", 3)
    assert found.steps(runs=["accelerate"]).clip_factor.notna().all()


def test_lightning(tmp_path):
    python("lightning_trainer.py", tmp_path)
    check(tmp_path, "lightning", 3)
