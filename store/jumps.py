"""Abrupt sparsification: the one interval in which most weights became near zero, and how unusual that was.

Essential Sparsity (NeurIPS 2023, Section 5) sees the number of zero weights of BERT rise suddenly during training; it
gives no threshold for zero, so every threshold that was measured is looked at.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import inf, nan
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["abrupt_sparsification", "largest_jump"]


def largest_jump(values: Sequence[float]) -> tuple[int, float, float] | None:
    """`(i, increase, z)`: the largest rise, from values[i - 1] to values[i], and its z-score among the rises before it.

    z is NaN where fewer than two rises came before, infinite where these were all equal. None when nothing rises.
    """
    rises = [after - before for before, after in pairwise(values)]
    if not rises or max(rises) <= 0:
        return None
    at = rises.index(max(rises))
    before = rises[:at]
    if len(before) < 2:
        return at + 1, rises[at], nan
    spread = pstdev(before)
    return at + 1, rises[at], (rises[at] - fmean(before)) / spread if spread else inf


def abrupt_sparsification(layers: "pd.DataFrame") -> "pd.DataFrame":
    """From `Store.sparsity_layers`, for each run, stack and threshold: from_step, step, near_zero (after), increase, z.

    Over all weights of a stack. Runs with fewer than two evaluations, or without a rise, have no row.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    whole = layers[layers["layer"].isna() & layers["near_zero"].notna()].sort_values("step")
    for (run, stack, threshold), found in whole.groupby(["run", "stack", "threshold"], sort=True):
        steps, values = [*found["step"]], [*found["near_zero"]]
        jump = largest_jump(values)
        if jump is not None:
            at, increase, z = jump
            rows.append(
                {
                    "run": run,
                    "stack": stack,
                    "threshold": threshold,
                    "from_step": steps[at - 1],
                    "step": steps[at],
                    "near_zero": values[at],
                    "increase": increase,
                    "z": z,
                }
            )
    columns = ["run", "stack", "threshold", "from_step", "step", "near_zero", "increase", "z"]
    return pd.DataFrame(rows, columns=columns)
