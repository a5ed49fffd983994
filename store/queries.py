"""One function per question that a page asks. The work is done in SQL; what comes back is small enough to draw.

Where many steps share a bucket, `low` and `high` are the bucket's smallest and largest value and `last` its newest, so
no spike is lost. NaN counts only where a bucket has nothing else; Inf is a value like any other, so one Inf makes
`high` Inf. `nonfinite` counts the NaN and Inf of the bucket: none of them vanishes in it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import DepthscopeError
from .reader import Question, Steps, Store, ask, where_sql
from .schema import base_columns, quote

if TYPE_CHECKING:  # frames are made by DuckDB; a training process does not load pandas
    import pandas as pd

__all__ = [
    "depth_profile",
    "layer_series",
    "layer_step",
    "metric_sites",
    "run_table",
    "sampled_steps",
    "series",
]

_STALLED_AFTER = 60  # seconds without a heartbeat

# Extremes of a bucket. In DuckDB's order NaN is the largest value, so `min` passes it over by itself.
_EXTREMES = """min(value) AS low, coalesce(max(value) FILTER (NOT isnan(value)), max(value)) AS high,
            arg_max(value, step) AS last, count(*) FILTER (NOT isfinite(value)) AS nonfinite"""

# What the x axis may show, from the row of `steps` of the same step.
_AXES = {
    "step": "v.step",
    "tokens": "s.tokens",
    "wall_time": "s.wall_time - (SELECT min(f.wall_time) FROM steps AS f WHERE f.run = v.run)",
}


def run_table(store: Store) -> "pd.DataFrame":
    """One row a run: the columns of `runs` and last_loss, min_loss (NaN passed over), tokens, nonfinite.

    `nonfinite` counts activations over all sites and steps. A run is 'stalled' that runs without a heartbeat for 60 s.
    """
    stalled = f"r.status = 'running' AND r.heartbeat_at < CAST(? AS TIMESTAMP) - INTERVAL {_STALLED_AFTER} SECONDS"
    columns = {name: f"r.{quote(name)}" for name in base_columns()["runs"]}
    columns["status"] = f"CASE WHEN {stalled} THEN 'stalled' ELSE r.status END AS status"
    own = ", ".join(columns.values())
    now = datetime.now(UTC).replace(tzinfo=None)

    def make(metrics: Mapping[str, str]) -> Question:
        sql = f"""
            WITH trained AS (
                SELECT run, arg_max(loss, step) AS last_loss, min(loss) AS min_loss, max(tokens) AS tokens
                FROM steps GROUP BY run
            ), bad AS (
                SELECT run, CAST(sum({_metric("nonfinite", metrics)}) AS BIGINT) AS nonfinite
                FROM layer_stats WHERE {_metric("nonfinite", metrics)} > 0 GROUP BY run
            )
            SELECT {own}, t.last_loss, t.min_loss, t.tokens, coalesce(b.nonfinite, 0) AS nonfinite
            FROM runs AS r LEFT JOIN trained AS t USING (run) LEFT JOIN bad AS b USING (run)
            ORDER BY r.started_at, r.run"""
        return sql, [now]

    return ask(store, make)


def metric_sites(store: Store, runs: str | Iterable[str]) -> "pd.DataFrame":
    """Where there is anything to draw: metric, unit, title, site, phase and stack of every metric with a value."""
    where, params = where_sql((None, None), {"run": runs})

    def make(metrics: Mapping[str, str]) -> Question:
        names = [name for name in metrics if name not in base_columns()["layer_stats"]]
        if not names:
            return (
                "SELECT ''::VARCHAR AS metric, '' AS unit, '' AS title, '' AS site, '' AS phase, '' AS stack LIMIT 0",
                [],
            )
        counts = ", ".join(f"count({quote(name)}) AS {quote(name)}" for name in names)
        listed = ", ".join(quote(name) for name in names)
        sql = f"""
            SELECT c.metric, coalesce(m.unit, '') AS unit, coalesce(m.title, c.metric) AS title,
                c.site, c.phase, c.stack
            FROM (
                UNPIVOT (SELECT site, phase, stack, {counts} FROM layer_stats WHERE {where} GROUP BY site, phase, stack)
                ON {listed} INTO NAME metric VALUE found
            ) AS c LEFT JOIN metrics AS m ON m.name = c.metric
            WHERE c.found > 0 ORDER BY c.metric, c.site, c.phase, c.stack"""
        return sql, params

    return ask(store, make)


def depth_profile(
    store: Store,
    runs: str | Iterable[str],
    metric: str,
    site: str,
    phase: str,
    step: int | None = None,
    stack: str = "main",
) -> "pd.DataFrame":
    """A metric over depth: run, strategy, step, layer, value; of each run its newest sampled step <= `step`."""
    where, params = _rows_where(runs, site, phase, stack, (None, step))

    def make(metrics: Mapping[str, str]) -> Question:
        sql = f"""
            WITH found AS (
                SELECT run, step, layer, {_metric(metric, metrics)} AS value FROM layer_stats WHERE {where}
            ), newest AS (SELECT run, max(step) AS step FROM found WHERE value IS NOT NULL GROUP BY run)
            SELECT f.run, r.strategy, f.step, f.layer, f.value
            FROM found AS f JOIN newest USING (run, step) LEFT JOIN runs AS r ON r.run = f.run
            WHERE f.value IS NOT NULL ORDER BY f.run, f.layer"""
        return sql, params

    return ask(store, make)


def layer_step(
    store: Store,
    run: str,
    metric: str,
    site: str,
    phase: str,
    stack: str = "main",
    bins: int = 400,
    steps: Steps = (None, None),
) -> "pd.DataFrame":
    """A metric over depth and time: step, layer, low, high, last, nonfinite. At most `bins` buckets of equally many
    sampled steps, of those within `steps` (ends included); `step` is the last one of its bucket."""
    where, params = _rows_where(run, site, phase, stack, steps)

    def make(metrics: Mapping[str, str]) -> Question:
        sql = f"""
            WITH found AS (
                SELECT step, layer, {_metric(metric, metrics)} AS value FROM layer_stats WHERE {where}
            ), buckets AS (
                SELECT step, (row_number() OVER (ORDER BY step) - 1) * {int(bins)}
                    // greatest({int(bins)}, count(*) OVER ()) AS bucket
                FROM (SELECT DISTINCT step FROM found WHERE value IS NOT NULL)
            ), ends AS (SELECT bucket, max(step) AS step FROM buckets GROUP BY bucket)
            SELECT e.step, b.layer, b.low, b.high, b.last, b.nonfinite FROM (
                SELECT bucket, layer, {_EXTREMES} FROM found JOIN buckets USING (step)
                WHERE value IS NOT NULL GROUP BY bucket, layer
            ) AS b JOIN ends AS e USING (bucket) ORDER BY e.step, b.layer"""
        return sql, params

    return ask(store, make)


def series(
    store: Store,
    runs: str | Iterable[str],
    name: str,
    x: str = "step",
    points: int = 1000,
    within: tuple[float, float] | None = None,
) -> "pd.DataFrame":
    """A column of `steps` or a logged scalar over step, tokens or wall_time.

    Columns run, strategy, step, x, low, high, last, nonfinite. At most `points` buckets a run, of equally many steps;
    step and x are those of the bucket's last step. wall_time counts seconds from the run's first row. Steps that have
    no x (tokens never logged) are left out. `within`: only the values between two positions on x, and the nearest one
    on either side, so that a line goes on to the edges of a picture.
    """
    where, params = where_sql((None, None), {"run": runs})
    if name in base_columns()["steps"].keys() - {"run", "step"}:
        values = f"SELECT run, step, {quote(name)}::DOUBLE AS value FROM steps WHERE {where}"
    else:
        values = f"SELECT run, step, value FROM scalars WHERE {where} AND name = ?"
        params = [*params, name]
    buckets = _bucketed(values, "run", x, points, within)
    sql = f"""
        SELECT b.run, r.strategy, b.step, b.x, b.low, b.high, b.last, b.nonfinite
        FROM ({buckets}) AS b LEFT JOIN runs AS r ON r.run = b.run ORDER BY b.run, b.step"""
    return ask(store, lambda metrics: (sql, params))


def layer_series(
    store: Store,
    run: str,
    metric: str,
    site: str,
    phase: str,
    layers: Iterable[int],
    x: str = "step",
    points: int = 1000,
    stack: str = "main",
    within: tuple[float, float] | None = None,
) -> "pd.DataFrame":
    """A metric of some layers over `x`: layer, step, x, low, high, last, nonfinite, cut and bucketed as `series` is."""
    where, params = _rows_where(run, site, phase, stack, (None, None), layers)

    def make(metrics: Mapping[str, str]) -> Question:
        values = f"SELECT run, step, layer, {_metric(metric, metrics)} AS value FROM layer_stats WHERE {where}"
        buckets = _bucketed(values, "run, layer", x, points, within)
        return f"SELECT layer, step, x, low, high, last, nonfinite FROM ({buckets}) ORDER BY layer, step", params

    return ask(store, make)


def sampled_steps(store: Store, runs: str | Iterable[str], phase: str) -> "pd.DataFrame":
    """The steps that have rows in layer_stats: run, step, tokens, wall_time (seconds since the run's first step)."""
    where, params = where_sql((None, None), {"run": runs, "phase": phase})
    times, time_params = where_sql((None, None), {"run": runs})
    sql = f"""
        SELECT v.run, v.step, s.tokens, s.wall_time - t.start AS wall_time
        FROM (SELECT DISTINCT run, step FROM layer_stats WHERE {where}) AS v
        LEFT JOIN steps AS s ON s.run = v.run AND s.step = v.step
        LEFT JOIN (SELECT run, min(wall_time) AS start FROM steps WHERE {times} GROUP BY run) AS t ON t.run = v.run
        ORDER BY v.run, v.step"""
    return ask(store, lambda metrics: (sql, [*params, *time_params]))


def _bucketed(values: str, group: str, x: str, points: int, within: tuple[float, float] | None) -> str:
    """SQL that puts the rows (run, step, value, ...) of `values` into at most `points` buckets by `group`."""
    if x not in _AXES:
        raise DepthscopeError(f"expected x to be one of {', '.join(_AXES)}, got {x[:80]!r}")
    join = "" if x == "step" else "LEFT JOIN steps AS s ON s.run = v.run AND s.step = v.step"
    placed = f"""
        SELECT v.*, {_AXES[x]} AS x FROM ({values}) AS v {join} WHERE value IS NOT NULL AND {_AXES[x]} IS NOT NULL"""
    return f"""
        SELECT {group}, max(step) AS step, arg_max(x, step) AS x, {_EXTREMES} FROM (
            SELECT *, (row_number() OVER (PARTITION BY {group} ORDER BY step) - 1) * {int(points)}
                // greatest({int(points)}, count(*) OVER (PARTITION BY {group})) AS bucket
            FROM ({placed if within is None else _cut(placed, group, within)})
        ) GROUP BY {group}, bucket"""


def _cut(placed: str, group: str, within: tuple[float, float]) -> str:
    """SQL that leaves of the rows of `placed` those between two positions and the nearest on either side."""
    first, last = map(float, within)
    return f"""
        SELECT * FROM ({placed})
        WINDOW near AS (PARTITION BY {group} ORDER BY step)
        QUALIFY coalesce(lead(x) OVER near >= {first!r}, true) AND coalesce(lag(x) OVER near <= {last!r}, true)"""


def _rows_where(
    runs: Any,
    site: str,
    phase: str,
    stack: str,
    steps: tuple[int | None, int | None] = (None, None),
    layers: Any = None,
) -> Question:
    where, params = where_sql(steps, {"run": runs, "site": site, "phase": phase, "stack": stack, "layer": layers})
    return f"{where} AND layer IS NOT NULL", params


def _metric(name: str, metrics: Mapping[str, str]) -> str:
    """The column of a metric; NULL when no run of the store has it. The name comes from a user."""
    keys = base_columns()["layer_stats"]
    known = {each.lower() for each in metrics} - keys.keys()
    return quote(name) if name.lower() in known else "NULL::FLOAT"
