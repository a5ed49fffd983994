"""Size and speed of the store, beside the same rows in plain Parquet, SQLite, TensorBoard's event files and W&B.

    python benchmarks/store.py [--millions 1 10] [--elsewhere 0.2] [--runs 1 100 1000] [--folder DIR]

Sizes count every byte of the database file. A cold query is the first one of a new process on a file that is not in the
page cache. `--folder` keeps the segments of each size, and finds them there the next time.
"""

import argparse
import os
import shutil
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
from store_rows import LAYERS, LONG, LONG_STEPS, OF_STEP, PER_STEP, RUNS, write_long, write_runs

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

HEATMAP = "SELECT step, layer, variance FROM {} WHERE run = 'run 3' AND site = 'resid_post' ORDER BY step, layer"


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
        "100,000 steps in 1,000 buckets": lambda: series(store, [LONG], "loss"),
        "table of runs": lambda: run_table(store),
    }


def cold(root: Path, name: str) -> float:
    """One query in ms, of a new process, nothing of the database in memory."""
    handle = os.open(root / "depthscope.duckdb", os.O_RDONLY)
    os.fsync(handle)  # only what is written can be dropped
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)
    command = [sys.executable, __file__, "--ask", str(root), name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def show_queries(root: Path, when: str) -> None:
    for name, query in queries(root).items():
        first = statistics.median(cold(root, name) for _ in range(3))
        _, warm = timed(query, 11)
        print(f"  {when}: {name}: cold {first:.0f} ms, warm {warm:.0f} ms", flush=True)


def in_parquet(root: Path, folder: Path) -> tuple[int, float]:
    """Size of the rows in one sorted file; and the heatmap's rows, in ms, warm."""
    target = folder / "plain.parquet"
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as connection:
        connection.execute(f"COPY layer_stats TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    with duckdb.connect() as connection:
        _, warm = timed(lambda: connection.execute(HEATMAP.format(f"'{target}'")).df())
    return target.stat().st_size, warm


def in_sqlite(root: Path, folder: Path) -> tuple[int, float]:
    """The same rows in one table of SQLite; and the heatmap's rows there, in ms, warm."""
    target = folder / "plain.sqlite"
    target.unlink(missing_ok=True)
    with duckdb.connect(str(root / "depthscope.duckdb"), read_only=True) as source:
        described = source.execute("SELECT name FROM pragma_table_info('layer_stats')").fetchall()
        columns = [row[0] for row in described]
        lite = sqlite3.connect(target)
        lite.execute(f"CREATE TABLE s ({', '.join(columns)})")
        cursor = source.execute("SELECT * FROM layer_stats")
        while rows := cursor.fetchmany(10_000):
            lite.executemany(f"INSERT INTO s VALUES ({', '.join('?' * len(columns))})", rows)
        lite.commit()
    _, warm = timed(lambda: lite.execute(HEATMAP.format("s")).fetchall(), 3)
    lite.close()
    return target.stat().st_size, warm


def steps_for(millions: int) -> int:
    return max(1, millions * 1_000_000 // (RUNS * PER_STEP))


def made(millions: int, folder: Path) -> tuple[Path, int]:
    """A store with that many million values waiting in its spool, and how many they are exactly."""
    kept, steps = folder / f"segments {millions}M", steps_for(millions)
    if not kept.exists():
        write_runs(kept, RUNS, steps)
        write_long(kept)
    root = folder / "runs"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(kept, root)
    return root, RUNS * steps * (PER_STEP + OF_STEP) + LONG_STEPS * OF_STEP


def at_size(millions: int, folder: Path) -> None:
    root, values = made(millions, folder)
    database = root / "depthscope.duckdb"
    waiting = [path.stat().st_size for path in (root / "spool").glob("0?*-*-*.parquet")]
    print(f"\n{values:,} values of {RUNS} runs, {len(waiting):,} segments", flush=True)
    print(f"  segments: {sum(waiting) / values:.2f} B/value", flush=True)
    start = time.perf_counter()
    folded = ingest(root)
    taken = time.perf_counter() - start
    assert folded.skipped is None, folded
    size = database.stat().st_size / values
    print(f"  one ingest: {taken:.1f} s, {values / taken / 1e6:.1f} M values/s, {size:.2f} B/value", flush=True)
    show_queries(root, "after ingest")
    start = time.perf_counter()
    done = compact(root)
    print(f"  compact: {time.perf_counter() - start:.1f} s, {done.after / values:.2f} B/value", flush=True)
    show_queries(root, "compacted")
    values = RUNS * steps_for(millions) * PER_STEP  # the next two hold layer_stats only
    size, heatmap = in_parquet(root, folder)
    print(f"  plain Parquet, zstd, sorted: {size / values:.2f} B/value, heatmap {heatmap:.0f} ms", flush=True)
    if millions <= 10:
        size, heatmap = in_sqlite(root, folder)
        print(f"  SQLite, no index: {size / values:.2f} B/value, heatmap {heatmap:.0f} ms", flush=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--millions", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--elsewhere", type=float, nargs="*", default=[0.2], help="millions, as TensorBoard and W&B")
    parser.add_argument("--runs", type=int, nargs="*", default=[1, 100, 1000])
    parser.add_argument("--folder", type=Path, help="keep the segments there")
    parser.add_argument("--make", action="store_true", help="only make the segments, in --folder")
    parser.add_argument("--ask", nargs=2, metavar=("STORE", "QUERY"), help="time one query")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.ask:
        print(timed(queries(Path(options.ask[0]))[options.ask[1]], 1)[0])
        return
    print(
        f"DuckDB {duckdb.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    # No ingest of a closing writer may run beside what is timed.
    with mock.patch("depthscope.store.spool.start_ingest"), tempfile.TemporaryDirectory() as temporary:
        for millions in options.millions:
            folder = options.folder or Path(temporary)
            made(millions, folder) if options.make else at_size(millions, folder)
        for measure, sizes in ((elsewhere, options.elsewhere), (many_runs, options.runs)):
            for size in sizes:
                with tempfile.TemporaryDirectory() as folder:
                    measure(size, Path(folder))


if __name__ == "__main__":
    main()
