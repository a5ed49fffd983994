"""`depthscope compare`: one small comparison, and what it says of wrong options."""

from pathlib import Path

import pytest

from depthscope.app import cli
from depthscope.app.commands.compare import learning_rates
from depthscope.store import DepthscopeError, open_store


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command; gives its exit status, output and errors."""
    monkeypatch.setenv("COLUMNS", "250")

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *(str(argument) for argument in arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def test_one_table(run, tmp_path: Path) -> None:
    arguments = ("--layers", 2, "--steps", 2, "--seeds", 1, "--lr", "1e-3", "--store", tmp_path / "store")
    code, out, _ = run("--strategies", "pre,post", *arguments)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["Strategy", "pre", "post"]
    assert "post minus pre, seed by seed:" in out
    assert len(open_store(tmp_path / "store").runs()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategies", "up"), "expected strategies among"),
        (("--strategies", "pre", "--lr", "fast"), "expected --lr to be numbers with commas between them, got 'fast'"),
        (("--strategies", "pre", "--lr", "-1"), "expected lr to be a number above 0, but got -1.0"),
    ],
)
def test_errors_are_one_line(run, tmp_path: Path, arguments: tuple, says: str) -> None:
    code, out, err = run(*arguments, "--store", tmp_path / "store")
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_learning_rates() -> None:
    assert learning_rates(None) is None
    assert learning_rates("1e-3, 2e-3") == (1e-3, 2e-3)
    with pytest.raises(DepthscopeError):
        learning_rates("1e-3,")
