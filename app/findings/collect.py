"""From a store to the frames the diagnoses read: newest sampled steps only, and whole-run facts counted in SQL."""

from collections.abc import Sequence

import pandas as pd

from depthscope.store import RunMissing, Store, sampled_steps

from .frames import RunFrames
from .thresholds import THRESHOLDS

__all__ = ["collect"]

STREAM = ["variance", "abs_max", "median_abs"]
BLOCKS = ["block_influence", "angular_distance"]
GRADIENTS = ["param_grad_norm"]

NONFINITE = """
    SELECT 'activation' AS what, site, layer, phase,
        min(step) AS first_step, max(step) AS last_step, sum(nonfinite) AS total
    FROM layer_stats WHERE run = ? AND stack = ? AND nonfinite > 0 GROUP BY site, layer, phase
"""
BROKEN_GRADIENTS = """
    SELECT 'gradient' AS what, site, layer, phase,
        min(step) AS first_step, max(step) AS last_step, count(*) AS total
    FROM layer_stats WHERE run = ? AND stack = ? AND NOT isfinite(param_grad_norm) GROUP BY site, layer, phase
"""


def collect(store: Store, run: str) -> list[RunFrames]:
    """The frames of each stack of `run`, 'main' first. Raises RunMissing."""
    runs = store.runs()
    row = runs[runs["run"] == run]
    if row.empty:
        raise RunMissing(f"expected a run of {store.path}; got {run!r}")
    strategy = row["strategy"].iloc[0]
    layers = store.layers([run])
    stacks = sorted(set(layers["stack"]) or {"main"}, key=lambda stack: (stack != "main", stack))
    return [
        stack_frames(store, run, strategy if isinstance(strategy, str) else None, stack, layers) for stack in stacks
    ]


def stack_frames(store: Store, run: str, strategy: str | None, stack: str, layers: pd.DataFrame) -> RunFrames:
    steps = {phase: steps_of(store, run, phase) for phase in ("probe", "train")}
    phase = "probe" if steps["probe"] else "train"
    everything = sorted({*steps["probe"], *steps["train"]})
    depth = layers.loc[layers["stack"] == stack, "layer"].max()

    def recent(site: str, phase: str, columns: list[str]) -> pd.DataFrame:
        return newest_stats(store, run, stack, site, phase, columns, steps[phase])

    return RunFrames(
        run=run,
        strategy=strategy,
        stack=stack,
        phase=phase,
        n_layers=0 if pd.isna(depth) else int(depth),
        last_step=everything[-1] if everything else None,
        sampled=len(everything),
        stream=recent("resid_post", phase, STREAM),
        blocks=recent("block", phase, BLOCKS),
        gradients=recent("block", "train", GRADIENTS),
        massive=newest_massive(store, run, stack, phase, steps[phase]),
        nonfinite=nonfinite(store, run, stack),
        losses=losses(store, run),
    )


def steps_of(store: Store, run: str, phase: str) -> list[int]:
    return sorted({int(step) for step in sampled_steps(store, [run], phase)["step"]})


def newest_stats(
    store: Store, run: str, stack: str, site: str, phase: str, columns: list[str], steps: Sequence[int]
) -> pd.DataFrame:
    """The rows of the newest few steps that have any of `columns`; without a column that the store does not have."""
    known = [name for name in columns if name in columns_of(store)]
    if not steps or not known:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in ("step", "layer", *columns)})
    since = steps[-THRESHOLDS.recent_steps :][0]
    rows = store.layer_stats(runs=[run], site=site, phase=phase, columns=known, steps=(since, None))
    rows = rows[(rows["stack"] == stack) & rows["layer"].notna()]
    return rows.reindex(columns=["step", "layer", *columns]).astype("float64")


def columns_of(store: Store) -> set[str]:
    """The columns that layer_stats has; a metric's column appears with its first value."""
    return set(store.sql("SELECT * FROM layer_stats LIMIT 0").columns)


def newest_massive(store: Store, run: str, stack: str, phase: str, steps: Sequence[int]) -> pd.DataFrame:
    if not steps:
        return RunFrames(run).massive
    since = steps[-THRESHOLDS.recent_steps :][0]
    rows = store.massive(runs=[run], phase=phase, steps=(since, None))
    return rows[rows["stack"] == stack]


def nonfinite(store: Store, run: str, stack: str) -> pd.DataFrame:
    """One row a quantity, site, layer and phase that ever was NaN or Inf; only where the columns exist."""
    known = columns_of(store)
    queries = {"nonfinite": NONFINITE, "param_grad_norm": BROKEN_GRADIENTS}
    parts = [store.sql(sql, [run, stack]) for column, sql in queries.items() if column in known]
    found = [part for part in parts if not part.empty]
    return pd.concat(found, ignore_index=True) if found else RunFrames(run).nonfinite


def losses(store: Store, run: str) -> pd.DataFrame:
    """Every loss of the run that was logged and not skipped. NULL is "not logged", NaN a value: told apart in SQL."""
    sql = (
        "SELECT step, loss FROM steps WHERE run = ? AND loss IS NOT NULL AND NOT coalesce(skipped, false) ORDER BY step"
    )
    return store.sql(sql, [run])
