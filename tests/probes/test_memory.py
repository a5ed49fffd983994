"""Memory is flat over many steps, and nothing of a step outlives it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MEBIBYTE = 2**20


@pytest.mark.long
def test_memory_is_flat_over_ten_thousand_steps(tmp_path):
    """In a process of its own: the allocator of one that ran other tests before gives back and takes what it likes."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "support" / "long_run.py"), str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    early, late = (json.loads(line) for line in done.stdout.splitlines())
    assert late["steps"] - early["steps"] == 10_000
    assert late["tensors"] <= early["tensors"]
    assert late["blocks"] - early["blocks"] < 1_000  # of the interpreter's memory: less than one in ten steps
    assert late["rss"] - early["rss"] < MEBIBYTE
