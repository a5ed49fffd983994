"""`depthscope evaluate`: the estimate, the JSON, what is not measured again, and the errors."""

import json

import pytest
import torch

from depthscope.app import cli
from depthscope.sample_runs import build_model
from depthscope.store import open_store


def test_checkpoints_are_measured_once_and_errors_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    built = 'build_model("pre", layers=2, width=16, heads=2)'
    (tmp_path / "evaluated_model.py").write_text(
        f"from depthscope.sample_runs import build_model\ndef build():\n    return {built}\n"
    )
    (tmp_path / "held_out.txt").write_text("some text to read " * 40)
    torch.save(build_model("pre", layers=2, width=16, heads=2).state_dict(), tmp_path / "step-5.pt")

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["evaluate", "step-5.pt", "--data", "held_out.txt", "--store", "runs", *arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    common = ("--model", "evaluated_model:build", "--run", "r", "--length", "32", "--json")
    code, out, err = command(*common, "--only", "skip")
    assert (code, json.loads(out)) == (0, {"run": "r", "steps": [5], "skipped": [], "failed": []})
    assert "forwards over" in err
    code, out, _ = command(*common, "--only", "skip")
    assert json.loads(out) == {"run": "r", "steps": [], "skipped": [5], "failed": []}
    assert open_store(tmp_path / "runs").interventions().layer.tolist() == [1, 2]
    for wrong, message in (
        (("--model", "nonsense"), "MODULE:FUNCTION"),
        ((), "--model"),
        ((*common, "--only", "all"), "only to name"),
    ):
        code, _, err = command(*wrong, "--length", "32")
        assert code == 2
        assert message in err
        assert len(err.strip().splitlines()) == 1
