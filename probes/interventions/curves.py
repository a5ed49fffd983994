"""Which sparsities are measured: the curves, and where their grid is made finer. Numbers only, no weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from depthscope.store import knee, last_within

__all__ = ["CURVES", "FINE", "GRID", "UNSTRUCTURED", "Curve", "refinement"]

UNSTRUCTURED = "unstructured"
GRID = tuple(tenths / 10 for tenths in range(1, 10))
"""0 to 0.9 in steps of 0.1, as in the paper; 0 is measured by the untouched model."""

FINE = 6
"""Sparsities that a refined curve has beyond GRID: 3 inside each of two of its steps."""


@dataclass(frozen=True)
class Curve:
    """What is pruned: a pattern, in all matrices together (`global`) or in each of them, by a ranking, how much."""

    pattern: str
    scope: str
    ranking: str
    grid: tuple[float, ...] = GRID
    refined: bool = False

    @property
    def points(self) -> int:
        """Forwards that it takes."""
        return 1 if self.pattern != UNSTRUCTURED else len(self.grid) + FINE * self.refined


# N of M weights in a group are kept whatever other groups hold, so a pattern has no global scope.
CURVES = (
    Curve(UNSTRUCTURED, "global", "magnitude", refined=True),
    Curve(UNSTRUCTURED, "matrix", "magnitude", refined=True),
    Curve("1:2", "matrix", "magnitude"),
    Curve("2:4", "matrix", "magnitude"),
    Curve("4:8", "matrix", "magnitude"),
    Curve("1:4", "matrix", "magnitude"),
    Curve(UNSTRUCTURED, "matrix", "wanda"),
    Curve("2:4", "matrix", "wanda"),
    Curve(UNSTRUCTURED, "matrix", "random", grid=(0.1, 0.2, 0.3, 0.5, 0.7)),
)


def refinement(sparsities: Sequence[float], losses: Sequence[float]) -> list[float]:
    """FINE sparsities between those of a curve that starts at 0, in steps of a quarter of its grid.

    They lie in the step in which the loss leaves 1 % of its first value, and in the one after the knee (or the nearest
    to it that is left).
    """
    steps = range(len(sparsities) - 1)
    drop = _step_after(sparsities, last_within(sparsities, losses, 0.01 * abs(losses[0])))
    bend = _step_after(sparsities, knee(sparsities, losses))
    second = min((i for i in steps if i != drop), key=lambda i: (abs(i - bend), -i))
    return [
        round(sparsities[i] + quarters / 4 * (sparsities[i + 1] - sparsities[i]), 6)
        for i in sorted((drop, second))
        for quarters in (1, 2, 3)
    ]


def _step_after(sparsities: Sequence[float], found: float | None) -> int:
    """The number of the step that begins at `found`; the last step where nothing was found."""
    return len(sparsities) - 2 if found is None else min([*sparsities].index(found), len(sparsities) - 2)
