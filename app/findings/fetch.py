"""The SQL behind the diagnoses: a handful of queries for any number of runs, because each one opens the database."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from depthscope.store import Store

from .thresholds import THRESHOLDS

__all__ = ["Tables", "fetch"]

STATS = ("variance", "block_influence", "angular_distance", "param_grad_norm")

# The newest few sampled steps of each run and phase, with how many there are.
RECENT = f"""
    SELECT run, phase, step, sampled FROM (
        SELECT run, phase, step, count(*) OVER (PARTITION BY run, phase) AS sampled,
            row_number() OVER (PARTITION BY run, phase ORDER BY step DESC) AS age
        FROM (SELECT DISTINCT run, phase, step FROM layer_stats WHERE run IN (SELECT unnest($runs)))
    ) WHERE age <= {THRESHOLDS.recent_steps}
"""
NEWEST = """
    WITH recent AS ({recent}) SELECT {columns} FROM {table} AS t
    JOIN recent AS r ON r.run = t.run AND r.phase = t.phase AND r.step = t.step
    WHERE {where} ORDER BY t.run, t.step, t.layer
"""
BROKEN = """
    SELECT run, stack, '{what}' AS what, site, layer, phase,
        min(step) AS first_step, max(step) AS last_step, {total} AS total
    FROM layer_stats WHERE run IN (SELECT unnest($runs)) AND {condition}
    GROUP BY run, stack, site, layer, phase
"""
LOSSES = """
    SELECT run, count(*) AS count, arg_min(loss, step) AS first, arg_max(loss, step) AS last,
        min(step) FILTER (NOT isfinite(loss)) AS first_bad, max(step) FILTER (NOT isfinite(loss)) AS last_bad
    FROM steps WHERE run IN (SELECT unnest($runs)) AND loss IS NOT NULL AND NOT coalesce(skipped, false) GROUP BY run
"""


@dataclass(frozen=True)
class Tables:
    """Rows of all the runs asked for; each table has a column `run`."""

    runs: pd.DataFrame
    layers: pd.DataFrame
    recent: pd.DataFrame
    """run, phase, step, sampled"""
    stats: pd.DataFrame
    """layer_stats of the recent steps, sites resid_post and block"""
    massive: pd.DataFrame
    broken: pd.DataFrame
    losses: pd.DataFrame


def fetch(store: Store, runs: Sequence[str]) -> Tables:
    """Everything about `runs`; a metric that no run has comes as NULL."""
    names = list(runs)
    columns = set(store.sql("SELECT * FROM layer_stats LIMIT 0").columns)

    def ask(sql: str) -> pd.DataFrame:
        return store.sql(sql, {"runs": names})

    return Tables(
        runs=store.runs(),
        layers=store.layers(names),
        recent=ask(RECENT),
        stats=ask(stats_sql(columns)),
        massive=ask(NEWEST.format(recent=RECENT, columns="t.*", table="massive", where="true")),
        broken=pd.concat([ask(sql) for sql in broken_sql(columns)] or [pd.DataFrame(columns=["run", "stack"])]),
        losses=ask(LOSSES),
    )


def stats_sql(columns: set[str]) -> str:
    values = ", ".join(f"t.{name}" if name in columns else f"NULL::FLOAT AS {name}" for name in STATS)
    return NEWEST.format(
        recent=RECENT,
        columns=f"t.run, t.step, t.phase, t.stack, t.layer, t.site, {values}",
        table="layer_stats",
        where="t.site IN ('resid_post', 'block') AND t.layer IS NOT NULL",
    )


def broken_sql(columns: set[str]) -> list[str]:
    """One query a quantity whose column is there."""
    queries = []
    if "nonfinite" in columns:
        queries.append(BROKEN.format(what="activation", total="sum(nonfinite)", condition="nonfinite > 0"))
    if "param_grad_norm" in columns:
        queries.append(BROKEN.format(what="gradient", total="count(*)", condition="NOT isfinite(param_grad_norm)"))
    return queries
