"""Four trainings, each with a store of its own, feed one lake on PostgreSQL while a dashboard shows it in a browser.

PostgreSQL and the deliveries are killed and come back. Every segment that a training acknowledged is also kept where no
delivery takes it away: in the end the lake has exactly the rows of those, table by table.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browsing import FLAGS, PLOTS, chromium_path, rest, until, wait_until_up
from deliveries import REQUIRED, rows, same
from followers import Deliveries, delivered_at_last
from stores import wait_until

from depthscope.store import Store, deliver, ingest, open_store
from depthscope.store.layout import Layout

RECIPES = {
    name: {"strategy": name, "layers": 4, "width": 32, "seq_len": 32, "batch": 8, "steps": 300, "every": 5}
    for name in ("pre", "post", "peri", "lns")
}
RUNS = sorted(f"{name}-4x32-seed0" for name in RECIPES)
KILLS, OUTAGES = 4, 1

TRAINER = """
    import sys
    from pathlib import Path
    from unittest import mock
    from depthscope.sample_runs.recipes import from_json
    from depthscope.sample_runs.train import train
    from depthscope.store import spool
    recipe, store, kept = sys.argv[1:]
    write_segment = spool.write_segment

    def twice(connection, path, rows, marks):
        write_segment(connection, Path(kept) / path.name, rows, marks)
        write_segment(connection, path, rows, marks)

    with mock.patch.object(spool, "write_segment", twice):
        print(train(from_json(recipe), store)["status"])
"""


@pytest.fixture
def training_python() -> str:
    """The Python that trains: writers need torch, and no extension of DuckDB, so any DuckDB will do."""
    python = os.environ.get("DEPTHSCOPE_TRAINING_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode:
        missing = f"no torch in {python}: name a Python that has it in DEPTHSCOPE_TRAINING_PYTHON"
        pytest.fail(missing) if REQUIRED else pytest.skip(missing)
    return python


@pytest.fixture
def page(tmp_path) -> Iterator:
    """A page of a Chromium, with the console errors it showed."""
    program = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        page = browser.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        browser.close()


@contextmanager
def dashboard(url: str, home: Path) -> Iterator[str]:
    """`depthscope dashboard URL`; gives its address."""
    from depthscope.app.dashboard import address, free_port

    port = free_port("127.0.0.1", 18_700)
    command = [sys.executable, "-m", "depthscope.app", "dashboard", url, "--port", str(port)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(home)},
    )
    try:
        wait_until_up(address("127.0.0.1", port))
        yield address("127.0.0.1", port)
    finally:
        server.terminate()
        server.wait(timeout=60)


class Training:
    """One process that trains into a store, and copies all that it acknowledges to `kept`."""

    def __init__(self, python: str, recipe: dict[str, object], store: Path, kept: Layout) -> None:
        self.store = store
        self.process = subprocess.Popen(
            [python, "-c", textwrap.dedent(TRAINER), json.dumps(recipe), str(store), str(kept.spool)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    @property
    def goes_on(self) -> bool:
        return self.process.poll() is None

    @property
    def begun(self) -> bool:
        return not self.goes_on or any(Layout(self.store).claims.glob("*.json"))

    def finish(self) -> None:
        out, err = self.process.communicate()
        assert out == "finished\n", err


def acknowledged(trainings: list[Training], kept: Layout) -> Store:
    """A store of all that the trainings wrote, folded here."""
    for training in trainings:
        training.finish()
        shutil.copytree(Layout(training.store).claims, kept.claims, dirs_exist_ok=True)
    ingest(kept.root)
    return open_store(kept.root)


NAMES = f"[...new Set({PLOTS}.flatMap(g => (g.data ?? []).map(t => t.name)))].filter(name => name).sort()"


def troubled(trainings, deliveries, postgres, page) -> int:
    """Kill one or the other until all are trained and all has happened; how often PostgreSQL was killed."""
    chance, outages = random.Random(0), 0
    while any(t.goes_on for t in trainings) or deliveries.kills < KILLS or outages < OUTAGES:
        page.wait_for_timeout(chance.uniform(1000, 3000))
        victim = chance.choice(trainings).store
        deliveries.kill(victim)
        if chance.random() < 0.4:
            postgres.kill()
            time.sleep(chance.uniform(0.5, 2.0))
            postgres.start()
            outages += 1
        deliveries.start(victim)
        assert set(page.evaluate(NAMES)) <= set(RUNS)
        assert page.locator('[data-testid="stException"]').count() == 0
    return outages


@pytest.mark.skipif(not REQUIRED, reason="takes two minutes: run by .ci/lake")
def test_four_trainings_feed_a_lake_that_a_dashboard_shows(url, data, postgres, page, training_python, tmp_path):
    kept = Layout(tmp_path / "kept")
    kept.create()
    trainings = [Training(training_python, recipe, tmp_path / name, kept) for name, recipe in RECIPES.items()]
    wait_until(lambda: all(training.begun for training in trainings))
    deliver(trainings[0].store, url, data)
    deliveries = Deliveries(url, data)
    for training in trainings:
        deliveries.start(training.store)
    with dashboard(url, tmp_path / "cache") as shown:
        page.goto(f"{shown}/live")
        outages = troubled(trainings, deliveries, postgres, page)
        own = rows(acknowledged(trainings, kept))
        deliveries.stop()
        for training in trainings:
            delivered_at_last(training.store, url)
        page.goto(f"{shown}/live")
        until(page, f"{NAMES}.join() === '{','.join(RUNS)}'")
        rest(page)
        assert page.errors == []
    same(own, rows(open_store(url)))
    counts = own["layer_stats"].groupby("run").size()
    assert counts.index.tolist() == RUNS
    print(
        f"{sum(map(len, own.values()))} rows, of layer_stats {counts.to_dict()}; {deliveries.kills} deliveries and "
        f"{outages} servers killed: 0 lost, 0 doubled"
    )
