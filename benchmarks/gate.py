"""Does watching cost more than it did? For continuous integration: exit status 1 when it clearly does.

    python benchmarks/gate.py

At least seven pairs of training steps with and without a probe take turns, and CPU time is compared (see
overhead_cell.py): other work on the machine changes that little. What is held is the lower end of the interval of the
median, and a cost that is over the limit is measured once more, so that noise fails nobody. Statistics run as plain
operations, every step: the dearest way, and the one that needs no compiler.
"""

import sys
import warnings

import torch
from overhead_cell import Cell, measure

__all__ = ["LIMIT", "complaint", "main"]

TOOL, SIZE = "depthscope, every step, no compiler", "small"
COST_WHEN_SET = 0.32  # of a plain step, beyond it
LIMIT = 1 + 1.5 * COST_WHEN_SET
ATTEMPTS = 2


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for _ in range(ATTEMPTS):
        cell = measure(TOOL, SIZE, "eager", seconds=8)
        print(
            f"watching every step costs {cell.times:.2f} times the plain step ({cell.low:.2f} to {cell.high:.2f}, "
            f"{cell.pairs} pairs, {cell.plain_ms:.0f} ms plain); at most {LIMIT:.2f} is accepted",
            flush=True,
        )
        wrong = complaint(cell)
        if wrong is None:
            return
    sys.exit(wrong)


def complaint(cell: Cell) -> str | None:
    """What is wrong with a measured cost; None where it is accepted."""
    if not cell.same_training:
        return "the losses with and without the probe differ"
    if cell.low > LIMIT:
        return f"expected at most {LIMIT:.2f}, got at least {cell.low:.2f}: find what became dearer"
    return None


if __name__ == "__main__":
    main()
