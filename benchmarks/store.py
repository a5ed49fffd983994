"""Size and speed of the store, beside the same rows in plain Parquet and SQLite.

    python benchmarks/store.py [--millions 1 10] [--elsewhere 0.2] [--runs 1 100 1000]

The rows are those that watch() writes for a model of 24 blocks: six sites with 3 to 13 metrics each, 7% noise on smooth
curves. Sizes count every byte of the database file; values are numbers that were measured (keys and NULLs are not).
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import duckdb

from depthscope.store import (
    RunInfo,
    Step,
    compact,
    depth_profile,
    ingest,
    layer_step,
    open_run,
    open_store,
    run_table,
    series,
)

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
RUNS = 8
SEGMENT_STEPS = 50


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
                path = root / "spool" / f"{writer.attempt}-0-{writer._seq + part}.parquet"
                marks = f"'layer_stats' AS _table, '{writer.attempt}' AS _attempt, 0 AS _rank, "
                marks += f"{writer._seq + part}::BIGINT AS _seq, 1 AS _schema"
                rows = select_sql(first, min(steps, first + SEGMENT_STEPS))
                connection.execute(
                    f"COPY (SELECT 'run {number}' AS run, *, {marks} FROM ({rows})) TO '{path}' "
                    "(FORMAT parquet, COMPRESSION zstd)"
                )
    return runs * steps * PER_STEP


def timed(work: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """First and median time in ms."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return taken[0], statistics.median(taken[1:] or taken)


def queries(root: Path) -> dict[str, Callable[[], object]]:
    store = open_store(root)
    runs = [f"run {number}" for number in range(RUNS)]
    return {
        "heatmap of one run": lambda: layer_step(store, "run 3", "variance", "resid_post", "train"),
        "newest step of 8 runs": lambda: depth_profile(store, runs, "variance", "resid_post", "train"),
        "series of one run": lambda: series(store, ["run 3"], "loss"),
        "table of runs": lambda: run_table(store),
    }


def show_queries(root: Path, when: str) -> None:
    for name, query in queries(root).items():
        first, warm = timed(query)
        print(f"  {when}: {name}: first {first:.0f} ms, then {warm:.0f} ms", flush=True)


def parquet_size(root: Path, folder: Path) -> int:
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as connection:
        target = folder / "plain.parquet"
        connection.execute(f"COPY layer_stats TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    return target.stat().st_size


def sqlite_size(root: Path, folder: Path) -> tuple[int, float]:
    """The same rows in one table of SQLite; and the heatmap query there, in ms, warm."""
    target = folder / "plain.sqlite"
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as source:
        described = source.execute("SELECT name FROM pragma_table_info('layer_stats')").fetchall()
        columns = [row[0] for row in described]
        lite = sqlite3.connect(target)
        lite.execute(f"CREATE TABLE s ({', '.join(columns)})")
        cursor = source.execute("SELECT * FROM layer_stats")
        while rows := cursor.fetchmany(10_000):
            lite.executemany(f"INSERT INTO s VALUES ({', '.join('?' * len(columns))})", rows)
        lite.commit()
    question = "SELECT step, layer, variance FROM s WHERE run = 'run 3' AND site = 'resid_post' ORDER BY step, layer"
    _, warm = timed(lambda: lite.execute(question).fetchall(), 3)
    lite.close()
    return target.stat().st_size, warm


def at_size(millions: int, folder: Path) -> None:
    root = folder / "runs"
    steps = max(1, millions * 1_000_000 // (RUNS * PER_STEP))
    values = write_runs(root, RUNS, steps)
    database = root / "depthscope.duckdb"
    waiting = len(list((root / "spool").glob("0?*-*-*.parquet")))
    print(f"\n{values:,} values, {RUNS} runs of {steps:,} sampled steps, {waiting:,} segments", flush=True)
    spool = sum(path.stat().st_size for path in (root / "spool").iterdir())
    print(f"  segments: {spool / values:.2f} B/value", flush=True)
    start = time.perf_counter()
    folded = ingest(root)
    taken = time.perf_counter() - start
    assert folded.skipped is None, folded
    print(
        f"  one ingest: {taken:.1f} s, {values / taken / 1e6:.1f} M values/s, "
        f"{database.stat().st_size / values:.2f} B/value"
    )
    show_queries(root, "after ingest")
    start = time.perf_counter()
    done = compact(root)
    print(f"  compact: {time.perf_counter() - start:.1f} s, {done.after / values:.2f} B/value", flush=True)
    show_queries(root, "compacted")
    print(f"  plain Parquet, zstd, sorted: {parquet_size(root, folder) / values:.2f} B/value", flush=True)
    if millions <= 10:
        size, heatmap = sqlite_size(root, folder)
        print(f"  SQLite: {size / values:.2f} B/value, heatmap of one run {heatmap:.0f} ms", flush=True)


def elsewhere(millions: float, folder: Path) -> None:
    """The same values as TensorBoard's event files and as an offline run of W&B; one run."""
    from depthscope.app.exporters import EXPORTERS

    root = folder / "runs"
    values = write_runs(root, 1, max(1, int(millions * 1_000_000) // PER_STEP))
    store = open_store(root)
    print(f"\n{values:,} values of one run", flush=True)
    for name in ("tensorboard", "wandb"):
        start = time.perf_counter()
        EXPORTERS[name](store, ["run 0"], folder / name)
        taken = time.perf_counter() - start
        size = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
        print(f"  {name}: {size / values:.1f} B/value, written in {taken:.1f} s", flush=True)


def many_runs(count: int, folder: Path) -> None:
    root = folder / "runs"
    for number in range(count):
        writer = open_run(root, RunInfo(f"run {number}", strategy="pre", n_layers=LAYERS))
        writer.write(*(Step(step, 1e9 + step, 1024 * step, 3.0, sampled=True) for step in range(100)))
        writer.close()
    store = open_store(root)
    waiting = len(list((root / "spool").glob("0?*-*-*.parquet")))
    first, warm = timed(lambda: run_table(store), 3)
    print(f"\n{count:,} runs, {waiting:,} segments waiting: listed in {first:.0f} ms, then {warm:.0f} ms", flush=True)
    start = time.perf_counter()
    compact(root)
    taken = time.perf_counter() - start
    first, warm = timed(lambda: run_table(store))
    print(f"  compacted in {taken:.1f} s; then listed in {first:.0f} ms, then {warm:.0f} ms", flush=True)


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"


def one_flush(folder: Path) -> None:
    """What a training thread pays: the call of write(), while somebody holds the database open for writing or not."""
    root = folder / "runs"
    open_run(root, RunInfo("first")).close()
    ingest(root)
    for who in ("nobody", "a client, read-write,"):
        holder = None
        if who != "nobody":
            command = [sys.executable, "-c", HOLD, str(root / "depthscope.duckdb")]
            holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert holder.stdout is not None
            holder.stdout.readline()
        writer = open_run(root, RunInfo(f"held by {who}"))
        taken = []
        for step in range(2_000):
            start = time.perf_counter()
            writer.write(Step(step, time.time(), loss=1.0))
            taken.append((time.perf_counter() - start) * 1e6)
            time.sleep(0.002)
        writer.close()
        if holder:
            holder.communicate(b"\n")
        taken.sort()
        print(
            f"  {who} holds the database: write() p50 {taken[1000]:.0f} us, p99 {taken[1980]:.0f} us, "
            f"max {taken[-1] / 1000:.1f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--millions", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--elsewhere", type=float, nargs="*", default=[0.2], help="millions, as TensorBoard and W&B")
    parser.add_argument("--runs", type=int, nargs="*", default=[1, 100, 1000])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"DuckDB {duckdb.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    # No ingest of a closing writer may run beside what is timed.
    with mock.patch("depthscope.store.spool.start_ingest"):
        for millions in options.millions:
            with tempfile.TemporaryDirectory() as folder:
                at_size(millions, Path(folder))
        for size in options.elsewhere:
            with tempfile.TemporaryDirectory() as folder:
                elsewhere(size, Path(folder))
        for count in options.runs:
            with tempfile.TemporaryDirectory() as folder:
                many_runs(count, Path(folder))
        print("\nthe training thread", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            one_flush(Path(folder))


if __name__ == "__main__":
    main()
