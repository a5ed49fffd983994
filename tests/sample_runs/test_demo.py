"""The demo end to end on tiny sizes: real processes, real probe, real store."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from depthscope.sample_runs import STRATEGIES, run_demo
from depthscope.store import DepthscopeError, NotAStore, open_store


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.mark.parametrize(
    ("strategies", "wrong", "message"),
    [
        (["pre", "up"], {}, f"expected a strategy out of {', '.join(STRATEGIES)}, but got 'up'"),
        (["pre"], {"layers": 1}, "expected layers to be a whole number of at least 2, but got 1"),
        (["pre"], {"steps": 0}, "expected steps to be a whole number of at least 1, but got 0"),
        (["pre"], {"seed": -1}, "expected seed to be a whole number of at least 0, but got -1"),
        ([], {}, "expected at least one strategy, but got none: take some of pre, post, peri, mix, lns"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    strategies: list[str], wrong: dict, message: str, tmp_path: Path, console: Console
) -> None:
    with pytest.raises(DepthscopeError) as error:
        run_demo(strategies, **{"layers": 2, "steps": 1, **wrong}, store=tmp_path / "store", console=console)
    assert str(error.value) == message
    assert not (tmp_path / "store").exists()


def test_what_is_no_store_is_left_alone(tmp_path: Path, console: Console) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to mother.txt").write_text("dear")
    with pytest.raises(NotAStore):
        run_demo(["pre"], layers=2, steps=1, store=tmp_path / "letters", console=console)
    with pytest.raises(NotAStore):
        run_demo(["pre"], layers=2, steps=1, store=tmp_path / "letters" / "to mother.txt", console=console)
    with pytest.raises(DepthscopeError, match="expected a store or a place for a new one at"):
        run_demo(["pre"], layers=2, steps=1, store=tmp_path / "letters" / "to mother.txt" / "x", console=console)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["to mother.txt"]


def test_a_demo_and_a_second_one_in_the_same_store(tmp_path: Path, console: Console) -> None:
    for strategies in (["pre", "lns", "pre"], ["pre"]):
        assert run_demo(strategies, layers=2, steps=3, store=tmp_path / "store", console=console) == 0
    runs = open_store(tmp_path / "store").runs()
    assert sorted(runs["run"]) == ["lns-2x64-seed0", "pre-2x64-seed0", "pre-2x64-seed0-2"]
    assert set(runs["status"]) == {"finished"}
    assert runs["group_name"].nunique() == 1
    assert console.file.getvalue().count("3/3") == 3
