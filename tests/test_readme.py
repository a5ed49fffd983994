"""Every example of the README runs, and every command and file it names exists."""

import re
from pathlib import Path

import pytest
import torch
import typer
from loops import batches, loss_of

from depthscope.app.cli import app
from depthscope.sample_runs import build_model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


class WithLoss(torch.nn.Module):
    """A model as the README's loop has it: called with a batch it returns the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = build_model("pre", layers=2, width=32, heads=2, vocab=64)

    def forward(self, ids_BT):
        return loss_of(self.decoder, ids_BT)


def test_the_examples_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = WithLoss()
    names = {
        "model": model,
        "loader": batches(3),
        "optimizer": torch.optim.AdamW(model.parameters()),
        "held_out": batches(1)[0],
    }
    assert len(EXAMPLES) >= 4
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), names)
    assert len(names["stats"]) and names["growth"].strategy.tolist()[0] == "pre"
    names["probe"].close()


def test_every_command_it_names_exists():
    named = set(re.findall(r"`depthscope ([a-z]+)", README))
    known = set(typer.main.get_command(app).commands)
    assert named and named <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_it_links_to_exists(target):
    assert (ROOT / target).exists()


def test_the_first_example_is_at_the_top():
    lines = README.splitlines()
    assert lines.index("```python") < 20
