"""depthscope.probes: torch models in, numbers out. `watch(model)` is all most people need."""

from .metrics import METRICS
from .probe import Probe
from .sites import Sites
from .watch import watch

__all__ = ["METRICS", "Probe", "Sites", "watch"]
