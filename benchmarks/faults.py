"""What the store survives: kills, power loss, full and read-only disks, damage. Prints one row a fault.

    python benchmarks/faults.py [--kills 60] [--seed 0]

A batch is *acknowledged* when the writer says that nothing of it is in memory any more. Lost: acknowledged and not in
the store. Doubled: there more than once. Corrupt: a store that cannot be read. Exit status 1 unless all are 0.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import duckdb
from faults_disk import full_disk, read_only_disk
from faults_work import ROWS, Outcome, batch, child, write, writing

from depthscope.store import check_store, ingest, repair_store

WRITER = """
    import sys, time
    from unittest import mock
    from depthscope.store import LayerStats, RunInfo, open_run
    with mock.patch.multiple("depthscope.store.spool", _TICK=0.0005, _INTERVAL=0.0):
        writer = open_run(sys.argv[1], RunInfo("a"), resume=True, from_step=int(sys.argv[2]))
        step = writer.from_step
        while True:
            writer.write(*(LayerStats(step, "train", "main", i, "resid_post", {"variance": i}) for i in range(5)))
            while writer._incoming or writer._backlog:
                time.sleep(0.0002)
            print(step, flush=True)
            step += 1
"""

INGEST = """
    import sys
    from depthscope.store import ingest
    print("ready", flush=True)
    input()
    print(ingest(sys.argv[1]).folded, flush=True)
"""

COMPACT = """
    import sys
    from pathlib import Path
    from depthscope.store import upkeep
    upkeep._SMALLEST = 1
    Path(sys.argv[1], "compacted").unlink(missing_ok=True)
    print("ready", flush=True)
    input()
    print(upkeep.main(Path(sys.argv[1])), flush=True)
"""


def writer_killed(root: Path, kills: int, chance: random.Random) -> Outcome:
    outcome, acknowledged, present = Outcome(), set[tuple[str, int]](), set[tuple[str, int]]()
    for kill in range(kills):
        start = max((step for _, step in present), default=-1) + 1
        with child(WRITER, root, start) as writer:
            assert writer.stdout is not None
            acknowledged.add(("a", int(writer.stdout.readline())))
            time.sleep(chance.uniform(0, 0.2))
            writer.send_signal(signal.SIGKILL)
            acknowledged |= {("a", int(line)) for line in writer.stdout if line.endswith("\n")}
        present = outcome.look(root, acknowledged)
        if kill % 3 == 2:
            ingest(root)
            outcome.look(root, acknowledged)
            outcome.trials -= 1
    return outcome


def folding_killed(code: str, root: Path, kills: int, chance: random.Random) -> Outcome:
    """Kills that meet a process at work are the trials; how long it is left alone follows how long it takes here."""
    outcome, acknowledged = Outcome(), write(root, "first", range(2))
    ingest(root)
    hits, runs, longest = 0, 0, 0.8
    while hits < kills:
        acknowledged |= write(root, f"run {runs}", range(20))
        with child(code, root) as ingester:
            assert ingester.stdin is not None and ingester.stdout is not None
            ingester.stdout.readline()
            ingester.stdin.write("\n")
            ingester.stdin.flush()
            time.sleep(chance.uniform(0, longest))
            ingester.send_signal(signal.SIGKILL)
            finished = bool(ingester.stdout.read())
        longest *= 0.7 if finished else 1.1
        hits, runs = hits + (not finished), runs + 1
        outcome.look(root, acknowledged)
    ingest(root)
    outcome.look(root, acknowledged)
    outcome.trials = hits
    outcome.notes.append(f"{runs - hits} more had finished before the kill")
    return outcome


class PowerLost(BaseException):
    """The machine is off."""


@contextmanager
def power_lost(root: Path, after: int, chance: random.Random) -> Iterator[None]:
    """Off at the `after`-th fsync; what was not synced until then is cut short, its name is gone or not, by chance."""
    synced: set[int] = set()
    named = {path.name for path in (root / "spool").iterdir()}
    earlier = set(named)
    calls = 0
    real = os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= after:
            raise PowerLost
        real(handle)
        synced.add(os.fstat(handle).st_ino)
        if Path(f"/proc/self/fd/{handle}").resolve() == root / "spool":
            named.update(path.name for path in (root / "spool").iterdir())

    with mock.patch("os.fsync", fsync):
        yield
    for path in [path for path in sorted((root / "spool").glob("*.parquet")) if path.name not in earlier]:
        if path.name not in named and chance.random() < 0.5:
            path.unlink()
        elif path.stat().st_ino not in synced:
            os.truncate(path, chance.randrange(path.stat().st_size))


def power_loss(root: Path, kills: int, chance: random.Random) -> Outcome:
    """A writer in this process, without its thread: so that the moment is exact."""
    outcome, acknowledged = Outcome(), set[tuple[str, int]]()
    for trial in range(kills):
        run = f"run {trial}"
        with writing(root, run) as writer:
            writer.close()  # its thread; from here on flushes are ours
            writer._connection = duckdb.connect(":memory:")
            with power_lost(root, chance.randrange(1, 12), chance):
                try:
                    for step in range(12):
                        writer._incoming.extend(batch(step))
                        writer._flush()
                        acknowledged.add((run, step))
                except PowerLost:
                    pass
        outcome.look(root, acknowledged)
        if trial % 4 == 3:
            ingest(root)
    outcome.look(root, acknowledged)
    outcome.trials -= 1
    return outcome


def torn_segment(root: Path, kills: int, chance: random.Random) -> Outcome:
    """Damage from outside: the segment's own rows are gone, and nothing else may be."""
    outcome, acknowledged = Outcome(), set[tuple[str, int]]()
    for trial in range(max(3, kills // 6)):
        run = f"run {trial}"
        acknowledged |= write(root, run, range(6))
        victim = chance.choice(sorted((root / "spool").glob("0?*-0-[1-6].parquet")))
        number = int(victim.stem.rsplit("-", 1)[1])
        os.truncate(victim, chance.randrange(victim.stat().st_size))
        acknowledged.discard((run, number - 1))
        outcome.look(root, acknowledged)
        ingest(root)
        outcome.look(root, acknowledged)
        outcome.trials -= 1
    outcome.notes.append(f"{len(list((root / 'spool').glob('*.torn')))} set aside")
    return outcome


def two_ingesters(root: Path, kills: int, chance: random.Random) -> Outcome:
    outcome, acknowledged = Outcome(), set[tuple[str, int]]()
    for trial in range(max(3, kills // 6)):
        acknowledged |= write(root, f"run {trial}", range(10))
        children = [child(INGEST, root) for _ in range(2)]
        for each in children:
            assert each.stdout is not None
            each.stdout.readline()
        for each in children:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        for each in children:
            each.communicate()
        outcome.look(root, acknowledged)
    return outcome


def clock_backwards(root: Path, kills: int, chance: random.Random) -> Outcome:
    """Each attempt begins an hour before the one before it, and replaces its second half."""
    outcome, acknowledged, now = Outcome(), set[tuple[str, int]](), time.time_ns()
    for trial in range(max(3, kills // 6)):
        with mock.patch("time.time_ns", return_value=now - trial * 3_600_000_000_000):
            acknowledged |= write(root, "a", range(trial * 2, trial * 2 + 4), resume=True, from_step=trial * 2)
        outcome.look(root, acknowledged)
        if trial % 2:
            ingest(root)
    return outcome


def moved_store(root: Path, kills: int, chance: random.Random) -> Outcome:
    outcome, acknowledged, place = Outcome(), set[tuple[str, int]](), root
    for trial in range(max(3, kills // 12)):
        acknowledged |= write(place, f"run {trial}", range(5))
        ingest(place)
        acknowledged |= write(place, f"waiting {trial}", range(5))
        place = place.rename(root.with_name(f"{root.name} [{trial}]"))
        outcome.look(place, acknowledged)
    ingest(place)
    with duckdb.connect(str(place / "depthscope.duckdb"), read_only=True) as client:
        rows = client.execute("SELECT count(*) FROM all_layer_stats").fetchall()[0][0]
    outcome.lost += max(0, len(acknowledged) - rows // ROWS)
    return outcome


def damaged_database(root: Path, kills: int, chance: random.Random) -> Outcome:
    """What only the damaged file held may be lost; what still waited in the spool must not."""
    outcome, kept = Outcome(), set[tuple[str, int]]()
    for trial in range(max(3, kills // 12)):
        write(root, f"old {trial}", range(5))
        ingest(root)
        file = root / "depthscope.duckdb"
        waiting = write(root, f"new {trial}", range(5))
        data = bytearray(file.read_bytes())
        start = chance.randrange(len(data))
        data[start : start + 4096] = chance.randbytes(len(data[start : start + 4096]))
        file.write_bytes(data)
        rescued = repair_store(root)
        kept.add(("damage was seen", trial)) if rescued else None
        outcome.look(root, waiting)
        outcome.corrupt += any(check.name == "database" and check.state == "bad" for check in check_store(root))
    outcome.notes.append(f"{len(kept)} were seen to be damaged and made anew, the other blocks were free or unused")
    return outcome


FAULTS: dict[str, Callable[[Path, int, random.Random], Outcome]] = {
    "writer killed (kill -9)": writer_killed,
    "ingester killed (kill -9)": partial(folding_killed, INGEST),
    "compaction killed (kill -9)": partial(folding_killed, COMPACT),
    "power loss while writing": power_loss,
    "torn segment": torn_segment,
    "two ingesters at once": two_ingesters,
    "clock goes backwards": clock_backwards,
    "store moved": moved_store,
    "database damaged": damaged_database,
    "disk full": full_disk,
    "disk read-only": read_only_disk,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = 0
    print("| fault | trials | acknowledged | lost | doubled | corrupt | |\n|---|---|---|---|---|---|---|")
    for name, fault in FAULTS.items():
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = fault(Path(folder) / "runs", options.kills, random.Random(options.seed))
            except subprocess.CalledProcessError:
                print(f"| {name} | - | - | - | - | - | needs the right to mount a file system |", flush=True)
                continue
        bad += done.lost + done.doubled + done.corrupt
        numbers = (done.trials, done.acknowledged, done.lost, done.doubled, done.corrupt)
        print(f"| {name} | {' | '.join(f'{n:,}' for n in numbers)} | {'; '.join(done.notes)} |", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
