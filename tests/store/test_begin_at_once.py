"""Several runs may begin at the same moment in a store that does not exist yet, as those of a demo do."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from depthscope.store import RunInfo, open_run, open_store

RUNS, STORES = 6, 3


def test_runs_that_create_the_store_together(tmp_path: Path) -> None:
    barrier = Barrier(RUNS)

    def begin(store: Path, number: int) -> str:
        barrier.wait()
        writer = open_run(store, RunInfo(run=f"run {number}"))
        writer.close()
        return writer.run

    with ThreadPoolExecutor(RUNS) as pool:
        for number in range(STORES):
            store = tmp_path / str(number)
            names = sorted(pool.map(begin, [store] * RUNS, range(RUNS)))
            assert sorted(open_store(store).runs()["run"]) == names == [f"run {n}" for n in range(RUNS)]
