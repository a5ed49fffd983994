"""depthscope.probes: torch models in, numbers out. `watch(model)` is all most people need."""

from .checkpoints import Evaluated, Watcher, evaluate_checkpoints
from .holdout_files import read_holdout
from .interventions import INTERVENTIONS, Estimate, as_holdout
from .metrics import METRICS
from .probe import Probe
from .runner import run_script
from .sites import Sites
from .watch import watch

__all__ = [
    "INTERVENTIONS",
    "METRICS",
    "Estimate",
    "Evaluated",
    "Probe",
    "Sites",
    "Watcher",
    "as_holdout",
    "evaluate_checkpoints",
    "read_holdout",
    "run_script",
    "watch",
]
