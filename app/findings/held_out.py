"""The SQL behind the diagnoses that read held-out measurements and batch statistics, for any number of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from depthscope.store import Store, abrupt_sparsification, dropping_points

from .thresholds import Thresholds

__all__ = ["HeldOut", "fetch_held_out"]

# The newest evaluations, each of which may have measured less than another.
SKIPS = """
    SELECT run, stack, step, layer, loss, delta, delta_se, tokens FROM interventions
    WHERE run IN (SELECT unnest($runs)) AND action = 'skip' AND site = 'block' AND span = 1 AND layer IS NOT NULL
    QUALIFY dense_rank() OVER (PARTITION BY run, stack ORDER BY step DESC) <= {recent_steps}
    ORDER BY run, stack, step, layer
"""
REMOVALS = """
    SELECT run, stack, step, site AS ranking, span, loss, delta, delta_se FROM interventions
    WHERE run IN (SELECT unnest($runs)) AND action = 'prune_set'
    QUALIFY step = max(step) OVER (PARTITION BY run, stack) ORDER BY run, stack, ranking, span
"""
CURVES = """
    SELECT * FROM sparsity WHERE run IN (SELECT unnest($runs)) AND pattern = 'unstructured'
    QUALIFY step = max(step) OVER (PARTITION BY run, weights, scope, ranking)
    ORDER BY run, weights, scope, ranking, sparsity
"""
NEAR_ZERO = """
    SELECT * FROM sparsity_layers
    WHERE run IN (SELECT unnest($runs)) AND layer IS NULL AND near_zero IS NOT NULL ORDER BY run, stack, threshold, step
"""
FLUCTUATION = """
    SELECT run, stack, step, max(CASE WHEN isfinite({column}) THEN {column} END) AS distance,
        arg_max(layer, CASE WHEN isfinite({column}) THEN row({column}, -layer) END) AS layer,
        arg_max(site, CASE WHEN isfinite({column}) THEN row({column}, -layer) END) AS site
    FROM layer_stats WHERE run IN (SELECT unnest($runs)) AND phase = 'train' AND {column} IS NOT NULL
    GROUP BY run, stack, step ORDER BY run, stack, step
"""
COLUMN = "batch_var_fluctuation"


@dataclass(frozen=True)
class HeldOut:
    """Rows of all the runs asked for; each table has a column `run`, all but `drops` a column `stack`."""

    skips: pd.DataFrame
    removals: pd.DataFrame
    drops: pd.DataFrame
    """`dropping_points` of each run's newest curves."""
    jumps: pd.DataFrame
    """`abrupt_sparsification`, with `evaluations`: how many near-zero counts a run has."""
    fluctuation: pd.DataFrame


def fetch_held_out(store: Store, runs: Sequence[str], limits: Thresholds, known: set[str]) -> HeldOut:
    """Everything about `runs`; `known` are the columns of layer_stats."""

    def ask(sql: str) -> pd.DataFrame:
        return store.sql(sql, {"runs": list(runs)})

    near_zero = ask(NEAR_ZERO)
    counts = near_zero.groupby(["run", "stack"])["step"].nunique().rename("evaluations").reset_index()
    empty = pd.DataFrame(columns=["run", "stack", "step", "distance", "layer", "site"])
    return HeldOut(
        skips=ask(SKIPS.format(recent_steps=int(limits.recent_steps))),
        removals=ask(REMOVALS),
        drops=dropping_points(ask(CURVES)),
        jumps=counts.merge(abrupt_sparsification(near_zero), on=["run", "stack"], how="left"),
        fluctuation=ask(FLUCTUATION.format(column=COLUMN)) if COLUMN in known else empty,
    )
