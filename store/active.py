"""The average parameter count of sparse training: what takes the place of N in its scaling law.

The Journey Matters (ICLR 2025): L = E + A / N_avg^a + B / D^b with N_avg the mean over training of the parameters that
are not masked at that time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["average_parameters", "running_average"]

ACTIVE = "active_parameters"


def running_average(steps: Sequence[float], counts: Sequence[float]) -> list[float]:
    """At each step the average of the counts from step 0 to it, the count between two steps on the line between them.

    Before the first step the count is taken as the first one.
    """
    averages, area, last = [], 0.0, (0.0, float(counts[0]) if counts else 0.0)
    for step, count in zip(steps, counts, strict=True):
        area += (step - last[0]) * (count + last[1]) / 2
        last = (step, count)
        averages.append(area / step if step else float(count))
    return averages


def average_parameters(scalars: "pd.DataFrame") -> "pd.DataFrame":
    """From `Store.scalars` of sparse runs: run, step, active (all parameters but the masked), average (from step 0 on).

    Runs without the scalar `active_parameters` have no row: nothing of them was ever masked, all counts are equal.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run, found in scalars[scalars["name"] == ACTIVE].sort_values("step").groupby("run", sort=True):
        steps, counts = [*found["step"]], [*found["value"]]
        rows += [
            {"run": run, "step": step, "active": count, "average": average}
            for step, count, average in zip(steps, counts, running_average(steps, counts), strict=True)
        ]
    return pd.DataFrame(rows, columns=["run", "step", "active", "average"])
