"""Every kind of held-out measurement, by the names that `only` takes, in the order in which they run."""

from .chains import chains, chains_cost
from .context import Kind
from .distances import distances, distances_cost
from .jacobian import jacobian, jacobian_cost
from .later import later, later_cost
from .near_zero import near_zero, near_zero_cost
from .pruning import prune, prune_cost
from .skip import repeat, repeat_cost, skip, skip_cost, zero, zero_cost
from .spans import spans, spans_cost
from .sparsity import sparsity, sparsity_cost

__all__ = ["INTERVENTIONS"]

INTERVENTIONS: dict[str, Kind] = {
    "skip": Kind(skip, skip_cost, in_training=True),
    "zero": Kind(zero, zero_cost, in_training=True),
    "repeat": Kind(repeat, repeat_cost, in_training=True),
    "distances": Kind(distances, distances_cost, in_training=True),
    "later": Kind(later, later_cost, in_training=True),
    "jacobian": Kind(jacobian, jacobian_cost, in_training=True),
    "spans": Kind(spans, spans_cost),
    "prune": Kind(prune, prune_cost),
    "chains": Kind(chains, chains_cost, standard=False),
    "sparsity": Kind(sparsity, sparsity_cost),
    "near_zero": Kind(near_zero, near_zero_cost, in_training=True),
}
