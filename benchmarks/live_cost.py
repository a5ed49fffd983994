"""What a look at the Live page costs the trainings on the same machine: steps in turns, with the page open and shut.

    python benchmarks/live_cost.py [--trainings 5] [--seconds 20] [--rounds 6]

Each training is a process of its own with one thread, a small decoder and a probe that samples every 10th step. Server
and Chromium (headless) run on the cores of the trainings. The server is there all the time; what is in turns is the
page. Told: steps of all trainings in a second, both ways, how often the page was drawn again, and the median of the
rounds' ratios with its range. Then, with the trainings ended, the floor: what Chromium computes in a second of an open
page that nothing changes, and for one update of the page's charts by Plotly alone, without a server. Needs Chromium, as
benchmarks/dashboard.py, and a machine that does nothing else.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import psutil
from dashboard import FLAGS, chromium, served
from dashboard_waits import idle, wait
from playwright.sync_api import Browser, Page, sync_playwright

SETTLED = 15.0  # seconds after which what it took to open the page is over
PLOTS = "[...document.querySelectorAll('.js-plotly-plot')]"
COUNT_LOOKS = f"""window.looks = 0;
new MutationObserver(() => window.looks++).observe({PLOTS}[0], {{attributes: true, attributeFilter: ['data-revision']}})
"""
UPDATE = f"""Promise.all({PLOTS}.map(plot => Plotly.react(plot, plot.data.map((trace, n) => ({{
    ...trace, x: plot._fullData[n].x, y: plot._fullData[n].y.map(v => v * (1 + Math.random() / 1000))
}})), plot.layout))).then(() => null)"""


def train(store: str, number: int, steps: "Synchronized[int]") -> None:
    """Until it is killed."""
    import torch

    from depthscope.probes import watch
    from depthscope.sample_runs import build_model

    torch.set_num_threads(1)
    model = build_model("pre", layers=8, width=128, heads=4, vocab=256, seed=number)
    optimizer = torch.optim.AdamW(model.parameters())
    probe = watch(model, store=store, run=f"training-{number}", strategy="pre", every=10)
    while True:
        ids = torch.randint(256, (4, 65))
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        probe.log(loss=loss)
        steps.value += 1


def rate(counters: "list[Synchronized[int]]", seconds: float) -> float:
    """Steps a second of all trainings."""
    before, started = sum(c.value for c in counters), time.monotonic()
    time.sleep(seconds)
    return (sum(c.value for c in counters) - before) / (time.monotonic() - started)


def opened(browser: Browser, url: str) -> Page:
    """The page, drawn."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{url}/live")
    wait(lambda: page.locator(".js-plotly-plot .main-svg").count() > 0)
    idle(page)
    return page


def looked_at(browser: Browser, url: str, counters: "list[Synchronized[int]]", seconds: float) -> tuple[float, int]:
    """The same while the page is open and follows, and how often it was drawn again."""
    page = opened(browser, url)
    time.sleep(SETTLED)
    page.evaluate(COUNT_LOOKS)
    found = rate(counters, seconds)
    looks = page.evaluate("window.looks")
    page.close()
    time.sleep(2)
    return found, looks


def floor(browser: Browser, url: str, turns: int = 20) -> tuple[float, float]:
    """Seconds that Chromium computes in a second of an open page, and more of them for one update of its charts."""
    page = opened(browser, url)
    page.get_by_test_id("stCheckbox").get_by_text("Follow live").click()
    idle(page)
    time.sleep(2)
    spent = [browser_seconds()]
    time.sleep(turns)
    spent.append(browser_seconds())
    for _ in range(turns):
        page.evaluate(UPDATE)
        time.sleep(1)
    spent.append(browser_seconds())
    page.close()
    open_page = (spent[1] - spent[0]) / turns
    return open_page, (spent[2] - spent[1]) / turns - open_page


def browser_seconds() -> float:
    """What all processes of the browser have computed so far."""
    mine = psutil.Process().children(recursive=True)
    times = [process.cpu_times() for process in mine if "chrom" in process.name()]
    return sum(each.user + each.system for each in times)


def main() -> None:
    """Start everything, measure in turns, end everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("trainings", 5), ("seconds", 20), ("rounds", 6)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    # Long trainings compile their statistics once. Here it would fall into some round and be taken for the page's cost.
    os.environ["TORCH_COMPILE_DISABLE"] = "1"
    context = multiprocessing.get_context("spawn")
    counters = [context.Value("q", 0) for _ in range(options.trainings)]
    with (
        tempfile.TemporaryDirectory(prefix="depthscope-live-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        store = Path(folder) / "store"
        trainings = [
            context.Process(target=train, args=(str(store), number, counter), daemon=True)
            for number, counter in enumerate(counters)
        ]
        for process in trainings:
            process.start()
            stack.callback(process.kill)
        wait(lambda: all(counter.value > 20 for counter in counters))
        url = stack.enter_context(served(store))
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=chromium(), args=FLAGS)
        looked_at(browser, url, counters, 5)  # warms the caches
        pairs = []
        for _ in range(options.rounds):
            shut = rate(counters, options.seconds)
            looked, looks = looked_at(browser, url, counters, options.seconds)
            pairs.append((shut, looked))
            print(f"shut {shut:7.2f}   open {looked:7.2f} steps a second   {looks} looks", flush=True)
        ratios = sorted(shut / looked for shut, looked in pairs)
        print(f"step time with the page open: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
        print(f"{os.cpu_count()} cores, {options.trainings} trainings")
        for process in trainings:
            process.kill()
        open_page, update = floor(browser, url)
        print(f"Chromium: {open_page:.3f} s in a second of an open page, {update:.3f} s for its charts by Plotly alone")
        browser.close()


if __name__ == "__main__":
    main()
