"""depthscope.probes: torch models in, numbers out. `watch(model)` is all most people need."""

from .interventions import INTERVENTIONS, as_holdout
from .metrics import METRICS
from .probe import Probe
from .runner import run_script
from .sites import Sites
from .watch import watch

__all__ = ["INTERVENTIONS", "METRICS", "Probe", "Sites", "as_holdout", "run_script", "watch"]
