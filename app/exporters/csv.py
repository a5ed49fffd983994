"""CSV: one file a table, all runs in it."""

from collections.abc import Sequence
from pathlib import Path

from depthscope.store import Store

from .series import empty_folder

__all__ = ["export_csv"]


def export_csv(store: Store, runs: Sequence[str], folder: Path) -> None:
    """Write a file a table: runs, layers, layer_stats, massive, steps, scalars, events, and the held-out measurements
    interventions, distances, layer_effects, sparsity, sparsity_layers.

    Raises DepthscopeError when the folder is in use.
    """
    target, names = empty_folder(folder), list(runs)
    every = store.runs()
    tables = {
        "runs": every[every.run.isin(names)],
        "layers": store.layers(runs=names),
        "layer_stats": store.layer_stats(runs=names),
        "massive": store.massive(runs=names),
        "steps": store.steps(runs=names),
        "scalars": store.scalars(runs=names),
        "events": store.events(runs=names),
        "interventions": store.interventions(runs=names),
        "distances": store.distances(runs=names),
        "layer_effects": store.layer_effects(runs=names),
        "sparsity": store.sparsity(runs=names),
        "sparsity_layers": store.sparsity_layers(runs=names),
    }
    for name, table in tables.items():
        table.to_csv(target / f"{name}.csv", index=False)
