"""The commit that a run's environment names."""

import subprocess
from pathlib import Path

import pytest

from depthscope.probes.provenance import git_commit

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print()")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"], ["tag", "-a", "v1", "-m", "v1"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return tmp_path / "train.py"


def test_the_commit_of_the_scripts_checkout_whatever_its_tags(checkout: Path) -> None:
    head = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=checkout.parent, check=True, capture_output=True, text=True)
    assert git_commit(str(checkout)) == head.stdout.strip()


def test_uncommitted_changes_are_said(checkout: Path) -> None:
    clean = git_commit(str(checkout))
    checkout.write_text("print(1)")
    assert git_commit(str(checkout)) == f"{clean}+changes"


def test_no_commit_outside_a_checkout_or_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(str(tmp_path / "train.py")) is None
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None
