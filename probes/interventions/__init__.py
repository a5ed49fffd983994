"""Held-out measurements that change a model for a moment and put it back exactly.

A measurement is a file with a function from a Context to records and one that says beforehand what it costs, and a line
in INTERVENTIONS.
"""

from .context import Context, Kind
from .cost import Cost
from .distances import distances, distances_cost
from .holdout import Holdout, Losses, LossFn, as_holdout, paired, sequence_losses
from .jacobian import jacobian, jacobian_cost
from .later import later, later_cost
from .near_zero import near_zero, near_zero_cost
from .pruning import prune, prune_cost
from .skip import repeat, repeat_cost, skip, skip_cost, zero, zero_cost
from .spans import spans, spans_cost
from .sparsity import sparsity, sparsity_cost

__all__ = [
    "INTERVENTIONS",
    "Context",
    "Cost",
    "Holdout",
    "Kind",
    "LossFn",
    "Losses",
    "as_holdout",
    "paired",
    "sequence_losses",
]

INTERVENTIONS: dict[str, Kind] = {
    "skip": Kind(skip, skip_cost, in_training=True),
    "zero": Kind(zero, zero_cost, in_training=True),
    "repeat": Kind(repeat, repeat_cost, in_training=True),
    "distances": Kind(distances, distances_cost, in_training=True),
    "later": Kind(later, later_cost, in_training=True),
    "jacobian": Kind(jacobian, jacobian_cost, in_training=True),
    "spans": Kind(spans, spans_cost),
    "prune": Kind(prune, prune_cost),
    "sparsity": Kind(sparsity, sparsity_cost),
    "near_zero": Kind(near_zero, near_zero_cost),
}
"""By the names that `only` takes, in the order in which they run."""
