"""Where a curve of loss against sparsity drops: essential sparsity by several definitions, from frames of the store.

The paper (Essential Sparsity, NeurIPS 2023) fine-tunes the weights that are left and asks for 1 % of a task's accuracy.
Here nothing is fine-tuned and the measure is the held-out cross-entropy, so its number is not comparable with these.
"""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a training process does not load pandas
    import pandas as pd

__all__ = ["dropping_points", "knee", "last_within"]

RELATIVE = {"1pct": 0.01}
ABSOLUTE = {"0.01": 0.01, "0.05": 0.05, "0.1": 0.1}  # nats a token
_CURVE = ["run", "step", "pattern", "scope", "ranking", "weights"]


def last_within(sparsities: Sequence[float], losses: Sequence[float], epsilon: float) -> float | None:
    """The last sparsity before the loss first exceeds that of the first point by more than `epsilon`; None if it never
    does. Sparsities grow. A loss that is not finite exceeds.

    The paper's rule: within epsilon here, and no longer within it one step of the grid on; so it depends on the grid.
    """
    limit = losses[0] + epsilon + 1e-12 * abs(losses[0])
    for before, loss in zip(sparsities, losses[1:], strict=False):
        if not loss <= limit:
            return before
    return None


def knee(sparsities: Sequence[float], losses: Sequence[float]) -> float | None:
    """The sparsity whose point lies farthest below the chord of the curve, both axes scaled to [0, 1].

    None where the loss does not rise, or has fewer than three finite points.
    """
    points = [(s, loss) for s, loss in zip(sparsities, losses, strict=True) if isfinite(loss)]
    if len(points) < 3 or points[-1][1] <= points[0][1] or points[-1][0] <= points[0][0]:
        return None
    (s0, loss0), (s1, loss1) = points[0], points[-1]
    below = [((s - s0) / (s1 - s0) - (loss - loss0) / (loss1 - loss0), -s) for s, loss in points]
    distance, where = max(below)
    return -where if distance > 0 else None


def dropping_points(points: "pd.DataFrame") -> "pd.DataFrame":
    """For each unstructured curve of `Store.sparsity`: one row a definition.

    Columns run, step, pattern, scope, ranking, weights, definition, sparsity, loss (dense, nats a token), reached.
    definition: `oneshot_ce_1pct` is the last grid point whose loss is within 1 % of the dense loss, `oneshot_ce_0.01`,
    `_0.05` and `_0.1` those within so many nats, `oneshot_ce_knee` the knee. Where the loss never leaves the band
    `reached` is False and sparsity the last one measured: it is at least that.
    A curve that stays within 1 %, or has no knee, has no row for it.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    curves = points[points["pattern"] == "unstructured"].sort_values("sparsity")
    for key, curve in curves.groupby([*_CURVE, "definition"], sort=True):
        *names, measure = key
        common = dict(zip(_CURVE, names, strict=True))
        found = _of_curve([*curve["sparsity"]], [*curve["loss"]])
        rows += [{**common, "definition": f"{measure}_{suffix}", **each} for suffix, each in found.items()]
    return pd.DataFrame(rows, columns=[*_CURVE, "definition", "sparsity", "loss", "reached"])


def _of_curve(sparsities: list[float], losses: list[float]) -> dict[str, dict[str, Any]]:
    if sparsities[0] != 0:  # there is nothing to drop from
        return {}
    dense = losses[0]
    bands = {name: share * abs(dense) for name, share in RELATIVE.items()} | ABSOLUTE
    drops = {name: last_within(sparsities, losses, band) for name, band in bands.items()}
    found = {
        name: {"sparsity": sparsities[-1] if drop is None else drop, "loss": dense, "reached": drop is not None}
        for name, drop in drops.items()
    }
    bend = None if drops["1pct"] is None else knee(sparsities, losses)  # a flat curve bends where its noise does
    return found if bend is None else found | {"knee": {"sparsity": bend, "loss": dense, "reached": True}}
