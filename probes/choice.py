"""Which metrics a run measures, and how many entries those that sample look at."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from depthscope.store import DepthscopeError

from .metrics import METRICS, SAMPLED, Metric, Of

__all__ = ["STANDARD", "Choice", "chosen_metrics"]


@dataclass(frozen=True)
class Choice:
    """Metrics by name, in the order on screen, and the entries that a sampled one of them reads at most."""

    metrics: Mapping[str, Metric]
    elements: int = SAMPLED

    def of(self, of: Of) -> list[Metric]:
        """Those that look at one kind of observation."""
        return [metric for metric in self.metrics.values() if metric.of is of]


STANDARD = Choice(METRICS)

SETS: dict[str, Choice] = {
    "standard": STANDARD,
    "exact": Choice(METRICS, elements=sys.maxsize),  # medians sort every entry, updates keep a copy of the weights
}


def chosen_metrics(wanted: str | Sequence[str]) -> Choice:
    """The set of this name, or the metrics of these names. Raises DepthscopeError for another name, and for none."""
    if isinstance(wanted, str) and wanted in SETS:
        return SETS[wanted]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [str(name)[:80] for name in names if name not in METRICS]
    if unknown or not names:
        got = repr(unknown[0]) if unknown else "none"
        raise DepthscopeError(
            f"expected metrics to be {' or '.join(map(repr, SETS))}, or names out of {', '.join(METRICS)}; got {got}"
        )
    return Choice({name: metric for name, metric in METRICS.items() if name in names})
