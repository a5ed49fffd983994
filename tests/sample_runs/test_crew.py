"""Several runs at once: what their lines look like to the user, and that none outlives the parent or hurts another."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

from depthscope.sample_runs.crew import plan, train_all
from depthscope.sample_runs.recipes import STANDARD, Recipe, recipes_for

TWO = recipes_for(Recipe("pre", layers=2, steps=4), ("pre", "post"))

# A stand-in for sample_runs.train: same arguments, same lines. What it does is the test's own code.
STAND_IN = """
import json, os, pathlib, signal, sys, time
recipe = json.loads(sys.argv[sys.argv.index("--recipe") + 1])
store = pathlib.Path(sys.argv[sys.argv.index("--store") + 1])
name = recipe["strategy"]
def say(**line): print(json.dumps(line), flush=True)
say(run=name, steps=recipe["steps"])
"""
ENDS_WELL = """
say(run=name, step=recipe["steps"], loss=2.5, rate=12.0)
say(run=name, status="finished", step=4, held_out_loss=2.75)
"""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def stand_in(folder: Path, *parts: str) -> list[str]:
    script = folder / "stand_in.py"
    script.write_text(STAND_IN + "".join(textwrap.dedent(part) for part in parts))
    return [sys.executable, str(script)]


def text(console: Console) -> str:
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("runs", "cores", "expected"),
    [(5, 2, (5, 1)), (5, 1, (5, 1)), (1, 4, (1, 4)), (5, 16, (5, 3)), (2, 3, (2, 1)), (40, 2, (5, 1)), (40, 9, (9, 1))],
)
def test_plan(runs: int, cores: int, expected: tuple[int, int]) -> None:
    assert plan(runs, cores) == expected


def test_every_run_has_a_bar_that_ends_full(tmp_path: Path, console: Console) -> None:
    assert train_all(TWO, tmp_path, console, stand_in(tmp_path, ENDS_WELL)) == 0
    lines = [line for line in text(console).splitlines() if "4/4" in line]
    assert [line.split()[0] for line in lines] == ["pre", "post"]
    assert all("held-out loss 2.750" in line for line in lines)


def test_more_runs_than_fit_at_once_are_all_trained(tmp_path: Path, console: Console) -> None:
    touch = "(store / f'{name}-{recipe[\"seed\"]}').touch()\n"
    recipes = [Recipe(strategy, seed=seed) for strategy in STANDARD for seed in range(4)]
    assert train_all(recipes, tmp_path, console, stand_in(tmp_path, touch, ENDS_WELL)) == 0
    assert all((tmp_path / f"{recipe.strategy}-{recipe.seed}").exists() for recipe in recipes)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("print('Traceback', file=sys.stderr); sys.exit('boom: <b>no</b> [red]disk[/red]')", "with exit code 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "by signal SIGKILL: it left no message"),
        ("say(error='expected peace, but got war'); sys.exit(2)", "pre-2x64-seed0: expected peace, but got war"),
    ],
)
def test_a_failure_is_one_line_and_leaves_the_others_alone(
    tmp_path: Path, console: Console, act: str, message: str
) -> None:
    fails = f"if name == 'pre':\n    {act}\n"
    assert train_all(TWO, tmp_path, console, stand_in(tmp_path, fails, ENDS_WELL)) == 1
    told = [line for line in text(console).splitlines() if message in line]
    assert len(told) == 1
    assert told[0].startswith("pre-2x64-seed0")
    assert "Traceback" not in text(console)
    assert any(line.startswith("post") and "4/4" in line for line in text(console).splitlines())


def test_divergence_is_told_and_is_no_failure(tmp_path: Path, console: Console) -> None:
    diverges = "if name == 'pre':\n    say(run=name, status='diverged', step=3, held_out_loss=None); sys.exit(3)\n"
    assert train_all(TWO, tmp_path, console, stand_in(tmp_path, diverges, ENDS_WELL)) == 0
    assert "pre diverged at step 3; the others go on" in text(console)


def test_output_that_is_not_ours_is_passed_over(tmp_path: Path, console: Console) -> None:
    noise = "print('a library says hello')\nprint('')\n"
    assert train_all(TWO, tmp_path, console, stand_in(tmp_path, noise, ENDS_WELL)) == 0
    assert "hello" not in text(console)


PARENT = """
import sys
from pathlib import Path
from rich.console import Console
from depthscope.sample_runs.crew import train_all
from depthscope.sample_runs.recipes import Recipe, recipes_for
recipes = recipes_for(Recipe("pre", layers=2), ("pre", "post"))
sys.exit(train_all(recipes, Path(sys.argv[1]), Console(), sys.argv[2:]))
"""
CLOSES_IN_ORDER = """
(store / f"{name}.pid").write_text(str(os.getpid()))
try:
    time.sleep(600)
except KeyboardInterrupt:
    (store / f"{name}.closed").touch()
    sys.exit(130)
"""


def wait_for(paths: list[Path], process: subprocess.Popen) -> None:
    while not all(path.exists() and path.read_text() for path in paths):
        assert process.poll() is None
        time.sleep(0.02)


def test_ctrl_c_lets_every_run_close_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), *stand_in(tmp_path, CLOSES_IN_ORDER)]
    pids = [tmp_path / f"{name}.pid" for name in ("pre", "post")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        wait_for(pids, parent)
        parent.send_signal(signal.SIGINT)
        output, _ = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert f"Stopped. The runs so far are in {tmp_path}" in output.replace("\n", "")
    assert all((tmp_path / f"{name}.closed").exists() for name in ("pre", "post"))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
