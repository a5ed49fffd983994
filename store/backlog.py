"""What a writer keeps in memory while the disk refuses it, and what it lets go first when that becomes too much.

Every second sampled step goes, so that a long outage is seen coarsely from its beginning to its end instead of finely
for its first minutes; the oldest step stays to the last. Facts (RunInfo, Layer, Metric) and events always stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .records import LayerStats, Massive, Scalar, Step

__all__ = ["Thinned", "thin"]

# In the order in which they are thinned out: what is many rows a step before what is one.
_KINDS: tuple[tuple[type[Any], ...], ...] = ((LayerStats, Massive), (Step, Scalar))


@dataclass(frozen=True)
class Thinned:
    """The records that stay, and the steps of which some went."""

    kept: list[Any]
    steps: frozenset[int]


def thin(records: Sequence[Any], most: int) -> Thinned:
    """Drop every second step, again and again, until at most `most` records are left or nothing more may go."""
    kept, gone = list(records), set[int]()
    for kinds in _KINDS:
        while len(kept) > most:
            steps = sorted({r.step for r in kept if isinstance(r, kinds) and isinstance(r.step, int)})
            if not (dropped := _every_second(steps)):
                break
            kept = [r for r in kept if not (isinstance(r, kinds) and r.step in dropped)]
            gone |= dropped
    return Thinned(kept, frozenset(gone))


def _every_second(steps: Sequence[int]) -> set[int]:
    """At least half of the steps, such that those that stay are spread evenly and the first is among them."""
    if len(steps) < 2:
        return set()
    buckets = (len(steps) + 1) // 2
    span = steps[-1] - steps[0] + 1
    stay: dict[int, int] = {}
    for step in steps:
        stay.setdefault((step - steps[0]) * buckets // span, step)
    return set(steps) - set(stay.values())
