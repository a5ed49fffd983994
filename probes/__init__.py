"""depthscope.probes: torch models in, numbers out. `watch(model)` is all most people need."""

from .metrics import METRICS
from .probe import Probe
from .runner import run_script
from .sites import Sites
from .watch import watch

__all__ = ["METRICS", "Probe", "Sites", "run_script", "watch"]
