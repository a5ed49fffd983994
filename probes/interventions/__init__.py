"""Held-out measurements that change a model for a moment and put it back exactly.

A measurement is a file with a function from a Context to records and one that says beforehand what it costs, and a line
in INTERVENTIONS.
"""

from .context import Context, Kind
from .cost import Cost
from .evaluation import Estimate, Listener, Task, check_whole, chosen_kinds, evaluate, found_sites
from .holdout import Holdout, Losses, LossFn, as_holdout, paired, sequence_losses
from .table import INTERVENTIONS

__all__ = [
    "INTERVENTIONS",
    "Context",
    "Cost",
    "Estimate",
    "Holdout",
    "Kind",
    "Listener",
    "LossFn",
    "Losses",
    "Task",
    "as_holdout",
    "check_whole",
    "chosen_kinds",
    "evaluate",
    "found_sites",
    "paired",
    "sequence_losses",
]
