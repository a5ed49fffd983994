"""`depthscope preflight`: the table, the JSON and the errors."""

import json

import pytest

from depthscope.app import cli


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command; gives its exit status, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["preflight", *(str(argument) for argument in arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def test_table(run) -> None:
    code, out, _ = run("--strategies", "pre,keel", "--layers", 3, "--width", 16)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["Strategy", "pre", "keel"]
    assert "bf16 drops" in out


def test_json_of_all_strategies(run) -> None:
    from depthscope.sample_runs import STRATEGIES

    code, out, err = run("--layers", 2, "--width", 16, "--norm", "layer", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [check["name"] for check in found] == list(STRATEGIES)
    for check in found:
        assert {"growth", "gradient_skew", "stream_bits", "raw_bits", "loss", "start", "title"} <= check.keys()
        assert {"layer", "variance", "mean_square", "theory", "param_grad_norm"} <= check["layers"][1].keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategies", "up"), "expected strategies among"),
        (("--norm", "batch"), "expected norm to be one of rms, layer, but got 'batch'"),
        (("--model", "nowhere"), "expected a model as MODULE:FUNCTION, but got 'nowhere'"),
        (("--width", 7, "--strategies", "pre"), "expected a width that 1 heads share in even parts, but got 7"),
    ],
)
def test_errors_are_one_line(run, arguments: tuple, says: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
