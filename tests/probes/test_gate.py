"""The gate of continuous integration lets today's cost pass, and not one that was raised."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DEARER = """
import time
from depthscope.probes.accumulate import Accumulator

add = Accumulator.add

def slow(self, row_2K, observation):
    until = time.thread_time() + 0.003
    while time.thread_time() < until:
        pass
    add(self, row_2K, observation)

Accumulator.add = slow
"""


JUDGED = """
import gate

def cell(low, same_training):
    return gate.Cell(100.0, low, low, low, 9, 0.0, 470.0, 5e3, 0, 0, 0, same_training)

print(gate.complaint(cell(gate.LIMIT, True)))
print(gate.complaint(cell(gate.LIMIT + 0.01, True)))
print(gate.complaint(cell(1.0, False)))
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)


def test_the_gate_holds_the_lower_end_of_the_interval_and_the_training():
    accepted, dearer, changed = run(JUDGED).stdout.splitlines()
    assert accepted == "None"
    assert "find what became dearer" in dearer
    assert "losses" in changed


@pytest.mark.long
def test_the_gate_fails_where_the_cost_was_raised():
    done = run(f"{DEARER}\nimport gate\ngate.main()")  # by 3 ms at each of some thirty places
    assert done.returncode == 1
    assert "find what became dearer" in done.stderr
    assert done.stdout.count("times the plain step") == 2  # measured again before it fails
