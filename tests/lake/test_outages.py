"""Four processes write to stores of their own, four deliver to one lake, one reads; PostgreSQL and the deliveries are
killed and come back. What a writer acknowledged is in the lake, once."""

import os
import random
import threading
import time
from collections import Counter

import pytest
from followers import Deliveries, delivered_at_last
from stores import process

from depthscope.store import DepthscopeError, deliver, open_store

STEPS, LAYERS, WRITERS = 150, 4, 4

WRITER = """
    import sys, time
    from unittest import mock
    from depthscope.store import LayerStats, RunInfo, Step, open_run
    root, name, steps, layers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    quick = {"_INTERVAL": 0.2, "_LONGEST_INTERVAL": 0.5, "start_ingest": lambda path: None}
    with mock.patch.multiple("depthscope.store.spool", **quick):
        writer = open_run(root, RunInfo(name, "pre"))
        print("ready", flush=True)
        sys.stdin.readline()
        for step in range(steps):
            writer.write(Step(step, time.time(), loss=1.0 / (step + 1)))
            for layer in range(layers):
                writer.write(LayerStats(step, "train", "main", layer, "resid_post", {"variance": step + layer}))
            time.sleep(0.15)
        writer.close()
        assert not writer._incoming and not writer._backlog
    print("acknowledged", flush=True)
"""


class Reader(threading.Thread):
    """A dashboard's part: asks again and again, and takes an outage for what it is."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self._url = url
        self.done = threading.Event()
        self.answers, self.refusals, self.wrong = 0, [], []

    def run(self):
        while not self.done.wait(0.3):
            try:
                lake = open_store(self._url)
                frame = lake.sql(
                    "SELECT run, step, count(*) AS n FROM layer_stats GROUP BY ALL HAVING count(*) != ?", [LAYERS]
                )
                self.answers += 1
                self.wrong += frame.values.tolist()
            except DepthscopeError as refused:
                self.refusals.append(str(refused))


@pytest.mark.skipif("DEPTHSCOPE_REQUIRE_LAKE" not in os.environ, reason="takes a minute: run by .ci/lake")
def test_nothing_is_lost_or_doubled_when_postgres_and_the_deliveries_are_killed(url, data, postgres, tmp_path):
    chance = random.Random(0)
    stores = [tmp_path / f"host {i}" for i in range(WRITERS)]
    writers = [process(WRITER, store, f"run {i}", STEPS, LAYERS) for i, store in enumerate(stores)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
    deliver(stores[0], url, data)
    deliveries, reader = Deliveries(url, data), Reader(url)
    for store in stores:
        deliveries.start(store)
    reader.start()
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outages = 0
    while deliveries.kills < 3 or any(writer.poll() is None for writer in writers):
        time.sleep(chance.uniform(1.0, 3.0))
        victim = chance.choice(stores)
        deliveries.kill(victim)
        if chance.random() < 0.4:
            postgres.kill()
            time.sleep(chance.uniform(0.5, 2.0))
            postgres.start()
            outages += 1
        deliveries.start(victim)
    if not outages:
        postgres.kill()
        postgres.start()
    assert [writer.communicate()[0] for writer in writers] == ["acknowledged\n"] * WRITERS
    deliveries.stop()
    for store in stores:
        delivered_at_last(store, url)
    reader.done.set()
    reader.join(timeout=60)
    lake = open_store(url)
    found = Counter(zip(*(lake.layer_stats()[name] for name in ("run", "step", "layer")), strict=True))
    expected = {(f"run {i}", step, layer) for i in range(WRITERS) for step in range(STEPS) for layer in range(LAYERS)}
    assert set(found) == expected and set(found.values()) == {1}
    assert lake.steps().groupby("run").size().tolist() == [STEPS] * WRITERS
    assert reader.wrong == [] and reader.answers > 0, reader.refusals
    print(
        f"{len(expected)} rows of {WRITERS} runs, {deliveries.kills} deliveries and {max(outages, 1)} servers killed, "
        f"{reader.answers} answers and {len(reader.refusals)} refusals of the reader: 0 lost, 0 doubled"
    )
