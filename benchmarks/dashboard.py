"""How long a reader waits for the dashboard, in a real Chromium.

    python benchmarks/dashboard.py [--runs 8] [--layers 24] [--steps 10000] [--listed 1000] [--repeat 3] [--stores DIR]

Made-up runs (sampled every 10 steps, three sites) in a store of their own. Printed for each page: from the click on its
link in the menu until its first chart, and until all of them, are painted, on a server that has drawn the page before;
then from the choice of another metric, and from a drag over a stretch of it, until that chart is painted; then the same
for the table of a store of many runs; then the same runs in TensorBoard. Medians of --repeat. --stores keeps the stores
in a folder and takes them from there the next time. Needs Debian's chromium (or DEPTHSCOPE_CHROMIUM), playwright, and a
machine that does nothing else.
"""

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from dashboard_tensorboard import beside
from dashboard_waits import listed, one_chart, visit_pages, wait, zoomed
from playwright.sync_api import sync_playwright

from depthscope.app.dashboard import address, free_port, is_up, server_process
from depthscope.store import Layer, LayerStats, Metric, Record, RunInfo, Step, compact, ingest, open_run

STRATEGIES = ("pre", "post", "peri", "mix", "lns")
METRICS = {
    "resid_post": ("variance", "kurtosis", "abs_max", "mean_square"),
    "block": ("param_grad_norm", "block_influence", "angular_distance", "update_ratio"),
    "attn_out": ("variance", "branch_ratio"),
}
EVERY = 10
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    """Make the stores, serve them, look at them."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="depthscope-bench-") as temporary:
        place = options.stores or Path(temporary)
        large, many = place / "large", place / "many"
        if not large.exists():
            make(large, options.runs, options.layers, options.steps)
        if not many.exists():
            make(many, options.listed, 2, 20)
        size = f"{options.runs} runs x {options.layers} layers x {options.steps:,} steps"
        print(f"{size}; medians of {options.repeat}, seconds; load average {os.getloadavg()[0]:.1f}")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS)
            with served(large) as url:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                for wait_for in (visit_pages, one_chart, zoomed):
                    wait_for(page, url, options.repeat)
            with served(many) as url:
                listed(browser.new_page(viewport={"width": 1440, "height": 900}), url, options.listed, options.repeat)
            beside(browser, large, place / "events")
            browser.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("runs", 8), ("layers", 24), ("steps", 10_000), ("listed", 1000), ("repeat", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--stores", type=Path)
    return parser.parse_args()


def make(path: Path, runs: int, layers: int, steps: int) -> None:
    """A store of made-up runs, folded and compacted."""
    with mock.patch("depthscope.store.spool.start_ingest"):
        for number in range(runs):
            strategy = STRATEGIES[number % len(STRATEGIES)]
            info = RunInfo(f"{strategy}-{number:04}", strategy=strategy, n_layers=layers, config={"steps": steps})
            writer = open_run(path, info)
            names = {name for names in METRICS.values() for name in names}
            writer.write(*(Metric(name, "1", name, "made up", "none", "mean") for name in sorted(names)))
            writer.write(*(Layer("main", n, f"blocks.{n}", "Block", 1000, strategy) for n in range(layers + 1)))
            for step in range(steps):
                while len(writer._incoming) > 20_000:  # made-up steps take no time: let the writer keep up
                    time.sleep(0.01)
                writer.write(*rows(step, layers, number))
            writer.close("finished")
            if number % 100 == 99:
                ingest(path)
    ingest(path)
    compact(path)


def rows(step: int, layers: int, seed: int) -> Iterator[Record]:
    sampled = step % EVERY == 0
    loss = 2 + 4 * math.exp(-step / 2000) + 0.02 * math.sin(step + seed)
    yield Step(step, 1.79e9 + step, tokens=4096 * (step + 1), loss=loss, grad_norm=1.0, sampled=sampled)
    for site, names in METRICS.items() if sampled else ():
        for layer in range(layers + 1):
            size = 1 + layer * (1 + 0.1 * math.sin(0.001 * step + layer + seed))
            yield LayerStats(step, "train", "main", layer, site, dict.fromkeys(names, size))


class served:
    """The dashboard of a store, as users start it."""

    def __init__(self, store: Path) -> None:
        self._port = free_port("127.0.0.1", 18_600)
        self._process = server_process(store, "127.0.0.1", self._port)

    def __enter__(self) -> str:
        self._process.__enter__()
        url = address("127.0.0.1", self._port)
        wait(lambda: is_up(url))
        return url

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(*error)  # type: ignore[arg-type]


def chromium() -> str:
    found = os.environ.get("DEPTHSCOPE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("expected Chromium; found none; install Debian's package chromium or set DEPTHSCOPE_CHROMIUM")
    return found


if __name__ == "__main__":
    main()
