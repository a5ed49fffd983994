"""The faults of benchmarks/faults.py, a few of each: nothing lost, nothing doubled, no store that cannot be read."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.mark.parametrize("fault", ["killed", "power", "torn", "clock", "moved", "damaged", "disk"])
def test_nothing_is_lost_doubled_or_corrupt(fault: str) -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "4", "--only", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert rows, done.stderr
    if any(row[1] == "-" for row in rows):
        pytest.skip("mounting a small file system needs root")
    for row in rows:
        assert row[3:5] == ["0", "0"] and row[5].split(" ")[0] == "0", row
        assert int(row[1]) >= 3 and int(row[2].replace(",", "")) > 0, row
    assert done.returncode == 0, done.stderr
