"""Rows for the benchmarks of the store, as watch() writes them for a model of 24 blocks: six sites with 3 to 13 metrics
each, 7% noise on smooth curves. A value is a number that was measured: keys and NULLs are not."""

from pathlib import Path

import duckdb

from depthscope.store import RunInfo, Step, open_run

__all__ = ["LAYERS", "LONG", "LONG_STEPS", "OF_STEP", "PER_STEP", "RUNS", "SITES", "write_long", "write_runs"]

LAYERS = 24
ACTIVATION = ["variance", "variance_median", "mean_square", "abs_max", "median_abs", "kurtosis", "nonfinite"]
ACTIVATION += ["act_grad_norm"]
PARAMETER = ["param_grad_norm", "param_norm", "update_ratio"]
BLOCK = ["block_influence", "angular_distance", "angular_distance_last", "branch_ratio", "branch_cosine"]
METRICS = [*ACTIVATION, *PARAMETER, *BLOCK]
SITES = {
    "resid_post": ACTIVATION,
    "attn_out": [*ACTIVATION, *BLOCK],
    "mlp_out": [*ACTIVATION, *BLOCK],
    "block": [*PARAMETER, *BLOCK],
    "attn": PARAMETER,
    "mlp": PARAMETER,
}
PER_STEP = sum(len(metrics) for metrics in SITES.values()) * LAYERS
OF_STEP = 3
"""Measured numbers of a step itself: loss, tokens, time."""
RUNS = 8
SEGMENT_STEPS = 50
LONG, LONG_STEPS = "long", 100_000


def select_sql(first: int, last: int) -> str:
    """Rows of layer_stats of one run for steps first..last-1, with random values."""
    parts = []
    for site, metrics in SITES.items():
        columns = []
        for number, name in enumerate(METRICS):
            curve = f"({1 + number} * exp(0.05 * layer) * (1 + 0.3 * sin(step / 500.0 + layer)))"
            value = f"{curve} * (0.965 + 0.07 * random())" if name in metrics else "NULL"
            columns.append(f"({'0' if name == 'nonfinite' and name in metrics else value})::FLOAT AS {name}")
        parts.append(
            f"SELECT step::BIGINT AS step, 'train' AS phase, 'main' AS stack, layer::INTEGER AS layer, "
            f"'{site}' AS site, {', '.join(columns)} "
            f"FROM range({first}, {last}) AS a(step), range(1, {LAYERS + 1}) AS b(layer)"
        )
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY step, site, layer"


def write_runs(root: Path, runs: int, steps: int) -> int:
    """Segments as writers would leave them; gives the number of values."""
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        for number in range(runs):
            writer = open_run(root, RunInfo(f"run {number}", strategy="pre", n_layers=LAYERS))
            writer.write(*(Step(step, 1e9 + step, 1024 * step, 3.0, sampled=True) for step in range(steps)))
            writer.close()
            for part, first in enumerate(range(0, steps, SEGMENT_STEPS)):
                rows = select_sql(first, min(steps, first + SEGMENT_STEPS))
                _segment(connection, root, writer.run, writer.attempt, writer._seq + part, "layer_stats", rows)
    return runs * steps * PER_STEP


def write_long(root: Path) -> None:
    """A run of 100,000 steps with losses and nothing else."""
    writer = open_run(root, RunInfo(LONG, strategy="pre", n_layers=LAYERS))
    writer.close()
    loss = "(10 / (1 + step / 1000.0) + random())::DOUBLE AS loss"
    rows = f"SELECT step::BIGINT AS step, 1e9 + step AS wall_time, {loss} FROM range({LONG_STEPS}) AS a(step)"
    with duckdb.connect() as connection:
        _segment(connection, root, writer.run, writer.attempt, writer._seq, "steps", rows)


def _segment(
    connection: duckdb.DuckDBPyConnection, root: Path, run: str, attempt: str, seq: int, table: str, rows: str
) -> None:
    marks = f"'{table}' AS _table, '{attempt}' AS _attempt, 0 AS _rank, {seq}::BIGINT AS _seq, 1 AS _schema"
    path = root / "spool" / f"{attempt}-0-{seq}.parquet"
    connection.execute(
        f"COPY (SELECT '{run}' AS run, *, {marks} FROM ({rows})) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )
