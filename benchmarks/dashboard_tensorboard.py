"""The same runs in TensorBoard: how long its server loads them, and how long its page takes."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from dashboard_waits import wait
from playwright.sync_api import Browser

from depthscope.app.dashboard import free_port

__all__ = ["beside"]

CHART = "scalar-card line-chart, tb-line-chart, vz-line-chart2"


def beside(browser: Browser, store: Path, events: Path) -> None:
    """Export, serve, and wait for every value and for a chart. `events` is made where it is not there."""
    if not events.exists():
        command = [
            sys.executable,
            "-m",
            "depthscope.app",
            "export",
            str(store),
            "-o",
            str(events),
            "--to",
            "tensorboard",
        ]
        subprocess.run(command, check=True, capture_output=True)
    port = free_port("127.0.0.1", 18_700)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(events), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            print(f"TensorBoard: loaded    {_loaded(url):6.1f}   first chart {_first_chart(browser, url):.2f}")
        finally:
            server.terminate()


def _loaded(url: str) -> float:
    """Seconds from the start of the server until no more scalars come."""
    started = time.monotonic()
    size, since = -1, started
    while size <= 0 or time.monotonic() - since < 6:  # it asks the disk every 5 s
        now = _last_steps(url)
        if now != size:
            size, since = now, time.monotonic()
        time.sleep(0.25)
    return since - started


def _last_steps(url: str) -> int:
    """The newest steps of the losses of all runs, added up; -1 while it does not answer, 0 while it knows none."""
    try:
        with urllib.request.urlopen(f"{url}/data/plugin/scalars/tags", timeout=60) as answer:
            tags = {(run, tag) for run, names in json.load(answer).items() for tag in names if tag.endswith("loss")}
        return sum(_last_step(url, run, tag) for run, tag in tags)
    except OSError:
        return -1


def _last_step(url: str, run: str, tag: str) -> int:
    query = urllib.parse.urlencode({"run": run, "tag": tag})
    with urllib.request.urlopen(f"{url}/data/plugin/scalars/scalars?{query}", timeout=60) as answer:
        return int(json.load(answer)[-1][1])


def _first_chart(browser: Browser, url: str) -> float:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    started = time.monotonic()
    page.goto(f"{url}/#timeseries")
    wait(lambda: page.locator(CHART).count() > 0)
    return time.monotonic() - started
