"""The SQL behind the diagnoses: a handful of queries for any number of runs, because each one opens the database."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from depthscope.store import Store

from .held_out import HeldOut, fetch_held_out
from .surge import STATISTICS, onsets
from .thresholds import Thresholds

__all__ = ["Tables", "fetch"]

STATS = (
    "variance",
    "variance_median",
    "kurtosis",
    "abs_max",
    "branch_ratio",
    "block_influence",
    "angular_distance",
    "param_grad_norm",
    "param_norm",
    "update_ratio",
    "nonfinite",
)

# How many of the largest spikes of a run are looked at, and how many sampled steps before the worst of them.
SPIKES, BEFORE = 10, 24

STEPS = (
    "SELECT DISTINCT run, phase, step FROM layer_stats WHERE run IN (SELECT unnest($runs)) ORDER BY run, phase, step"
)
RECENT = """
    SELECT run, phase, step, sampled FROM (
        SELECT run, phase, step, count(*) OVER (PARTITION BY run, phase) AS sampled,
            row_number() OVER (PARTITION BY run, phase ORDER BY step DESC) AS age
        FROM (SELECT DISTINCT run, phase, step FROM layer_stats WHERE run IN (SELECT unnest($runs)))
    ) WHERE age <= {recent_steps}
"""
ORDER = "t.run, t.step, t.phase, t.stack, t.layer"
NEWEST = """
    WITH recent AS ({recent}) SELECT {columns} FROM {table} AS t
    JOIN recent AS r ON r.run = t.run AND r.phase = t.phase AND r.step = t.step
    WHERE {where} ORDER BY {order}
"""
BROKEN = """
    SELECT run, stack, '{what}' AS what, site, layer, phase,
        min(step) AS first_step, max(step) AS last_step, {total} AS total
    FROM layer_stats WHERE run IN (SELECT unnest($runs)) AND {condition}
    GROUP BY run, stack, site, layer, phase ORDER BY run, stack, first_step, layer, site, phase DESC
"""
# Of equal values the first layer or step counts: the same store always says the same.
PEAKS = """
    SELECT run, stack, step, max(size) AS abs_max, max(spread) AS variance,
        arg_max(layer, CASE WHEN spread IS NOT NULL THEN row(spread, -layer) END) AS variance_layer,
        max(pull) AS gradient, arg_max(layer, CASE WHEN pull IS NOT NULL THEN row(pull, -layer) END) AS gradient_layer
    FROM (
        SELECT run, stack, step, layer, {abs_max} AS size, CASE WHEN site = 'resid_post' THEN {variance} END AS spread,
            CASE WHEN site = 'block' THEN {param_grad_norm} END AS pull
        FROM layer_stats WHERE run IN (SELECT unnest($runs)) AND phase = 'train' AND layer IS NOT NULL
    ) GROUP BY run, stack, step ORDER BY run, stack, step
"""
LOSSES = """
    SELECT run, count(*) AS count, arg_min(loss, step) AS first, arg_max(loss, step) AS last,
        min(step) FILTER (NOT isfinite(loss)) AS first_bad, max(step) FILTER (NOT isfinite(loss)) AS last_bad,
        max(step) AS last_step
    FROM steps WHERE run IN (SELECT unnest($runs)) AND loss IS NOT NULL AND NOT coalesce(skipped, false) GROUP BY run
"""
RATES = """
    SELECT s.run, count(lr) AS count, min(step) FILTER (lr IS NOT NULL) AS first_step, arg_min(lr, step) AS first,
        max(lr) AS peak, max(tokens) AS tokens,
        arg_max(step, CASE WHEN lr IS NOT NULL THEN row(lr, -step) END) AS peak_step
    FROM steps AS s WHERE s.run IN (SELECT unnest($runs)) GROUP BY s.run
"""
# The median and its absolute deviation look back only, so that a spike does not hide itself. The furthest are those far
# above in both measures a rule may take: in deviations, and as a share of the median.
SPIKE = f"""
    SELECT run, step, loss, median, mad FROM (
        SELECT *,
            row_number() OVER (
                PARTITION BY run ORDER BY (loss - median) ** 2 / greatest(mad * abs(median), 1e-9) DESC, step
            ) AS place
        FROM (
            SELECT run, step, loss, median(loss) OVER before AS median, mad(loss) OVER before AS mad,
                count(*) OVER before AS seen
            FROM steps WHERE run IN (SELECT unnest($runs)) AND isfinite(loss) AND NOT coalesce(skipped, false)
            WINDOW before AS (PARTITION BY run ORDER BY step ROWS BETWEEN 25 PRECEDING AND 1 PRECEDING)
        ) WHERE seen >= 10 AND loss - median > 3 * mad AND loss > median
    ) WHERE place <= {SPIKES} ORDER BY run, step
"""
# Of each run the sampled steps up to the first one at or after the step that is asked about.
AROUND = f"""
    WITH wanted AS (SELECT unnest($runs) AS run, unnest($steps) AS step),
    taken AS (SELECT DISTINCT run, step FROM layer_stats WHERE phase = 'train' AND run IN (SELECT run FROM wanted)),
    ends AS (
        SELECT run, coalesce(min(t.step) FILTER (t.step >= w.step), max(t.step)) AS step
        FROM wanted AS w JOIN taken AS t USING (run) GROUP BY run
    ),
    chosen AS (
        SELECT t.run, t.step FROM taken AS t JOIN ends AS e ON e.run = t.run AND t.step <= e.step
        QUALIFY row_number() OVER (PARTITION BY t.run ORDER BY t.step DESC) <= {BEFORE + 1}
    )
    SELECT run, stack, step, layer, site, {{columns}} FROM layer_stats JOIN chosen USING (run, step)
    WHERE phase = 'train' AND layer IS NOT NULL AND site IN ('resid_post', 'block') ORDER BY run, step, layer, site
"""
HISTORIES = """
    WITH wanted AS (SELECT unnest($runs) AS run, unnest($stacks) AS stack, unnest($steps) AS since)
    SELECT run, stack, step, layer, '{metric}' AS metric, {metric}::DOUBLE AS value
    FROM layer_stats JOIN wanted USING (run, stack)
    WHERE phase = 'train' AND layer IS NOT NULL AND site = '{site}' AND step <= since AND {metric} IS NOT NULL
    ORDER BY run, stack, step, layer
"""


@dataclass(frozen=True)
class Tables:
    """Rows of all the runs asked for; each table has a column `run`."""

    runs: pd.DataFrame
    layers: pd.DataFrame
    sampled: pd.DataFrame
    """run, phase, step"""
    stats: pd.DataFrame
    """layer_stats of the recent steps"""
    massive: pd.DataFrame
    broken: pd.DataFrame
    peaks: pd.DataFrame
    histories: pd.DataFrame
    losses: pd.DataFrame
    rates: pd.DataFrame
    spikes: pd.DataFrame
    around: pd.DataFrame
    held_out: HeldOut


def fetch(store: Store, runs: Sequence[str], limits: Thresholds) -> Tables:
    """Everything about `runs`; a metric that no run has comes as NULL."""
    names = list(runs)
    known = set(store.sql("SELECT * FROM layer_stats LIMIT 0").columns)
    recent = RECENT.format(recent_steps=int(limits.recent_steps))

    def ask(sql: str) -> pd.DataFrame:
        return store.sql(sql, {"runs": names})

    spikes = ask(SPIKE)
    peaks = ask(PEAKS.format(**{name: finite(name, known) for name in ("abs_max", "variance", "param_grad_norm")}))
    return Tables(
        runs=store.runs(),
        layers=store.layers(names),
        sampled=ask(STEPS),
        stats=ask(stats_sql(known, recent)),
        massive=ask(
            NEWEST.format(recent=recent, columns="t.*", table="massive", where="true", order=f"{ORDER}, t.rank")
        ),
        broken=pd.concat([ask(sql) for sql in broken_sql(known)] or [pd.DataFrame(columns=["run", "stack"])]),
        peaks=peaks,
        histories=histories(store, peaks, limits),
        losses=ask(LOSSES),
        rates=ask(RATES),
        spikes=spikes,
        around=around(store, spikes, known),
        held_out=fetch_held_out(store, names, limits, known),
    )


def column(name: str, known: set[str]) -> str:
    """The column, or NULL where no run has it."""
    return name if name in known else f"NULL::FLOAT AS {name}"


def finite(name: str, known: set[str]) -> str:
    """The value where it is finite: DuckDB's max() takes NaN for the largest number."""
    return f"CASE WHEN isfinite({name}) THEN {name} END" if name in known else "NULL::FLOAT"


def stats_sql(known: set[str], recent: str) -> str:
    values = ", ".join(f"t.{name}" if name in known else column(name, known) for name in STATS)
    columns = f"t.run, t.step, t.phase, t.stack, t.layer, t.site, {values}"
    return NEWEST.format(
        recent=recent, columns=columns, table="layer_stats", where="t.layer IS NOT NULL", order=f"{ORDER}, t.site"
    )


def broken_sql(known: set[str]) -> list[str]:
    """One query a quantity whose column is there."""
    queries = []
    if "nonfinite" in known:
        queries.append(BROKEN.format(what="activation", total="sum(nonfinite)", condition="nonfinite > 0"))
    if "param_grad_norm" in known:
        queries.append(BROKEN.format(what="gradient", total="count(*)", condition="NOT isfinite(param_grad_norm)"))
    return queries


def around(store: Store, spikes: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """The layers' statistics near each run's worst spike; a run without spikes has no rows."""
    if spikes.empty:
        return pd.DataFrame(columns=["run", "stack", "step", "layer", "site", "variance", "param_grad_norm"])
    sql = AROUND.format(columns=", ".join(column(name, known) for name in ("variance", "param_grad_norm")))
    rising = spikes.assign(rise=spikes["loss"] - spikes["median"]).sort_values("rise")
    worst = rising.drop_duplicates("run", keep="last")
    return store.sql(sql, {"runs": worst["run"].tolist(), "steps": worst["step"].tolist()})


def histories(store: Store, peaks: pd.DataFrame, limits: Thresholds) -> pd.DataFrame:
    """Each layer of what surges, up to where it does; most runs have no rows."""
    found = [
        (metric, str(run), str(stack), since)
        for (run, stack), own in peaks.groupby(["run", "stack"])
        for metric, since in onsets(own, limits).items()
    ]
    parts = [pd.DataFrame(columns=["run", "stack", "step", "layer", "metric", "value"])]
    for metric, site in STATISTICS.items():
        wanted = [row for row in found if row[0] == metric]
        if wanted:
            names = ("runs", "stacks", "steps")
            given = dict(zip(names, map(list, zip(*(row[1:] for row in wanted), strict=True)), strict=True))
            parts.append(store.sql(HISTORIES.format(metric=metric, site=site), given))
    return pd.concat(parts[1:] or parts)
