"""What a look at the Live page costs the trainings on the same machine: steps in turns, with the page open and shut.

    python benchmarks/live_cost.py [--trainings 5] [--seconds 20] [--rounds 6]

Each training is a process of its own with one thread, a small decoder and a probe that samples every 10th step. Server
and Chromium (headless) run on the cores of the trainings. The server is there all the time; what is in turns is the
page. Told: steps of all trainings in a second, both ways, and the median of the rounds' ratios with its range. Needs
Chromium, as benchmarks/dashboard.py, and a machine that does nothing else.
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

from dashboard import FLAGS, chromium, served
from dashboard_waits import idle, wait
from playwright.sync_api import Browser, sync_playwright


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


def looked_at(browser: Browser, url: str, counters: "list[Synchronized[int]]", seconds: float) -> float:
    """The same while the page is open and follows."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{url}/live")
    wait(lambda: page.locator(".js-plotly-plot .main-svg").count() > 0)
    idle(page)
    found = rate(counters, seconds)
    page.close()
    time.sleep(2)
    return found


def main() -> None:
    """Start everything, measure in turns, end everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("trainings", 5), ("seconds", 20), ("rounds", 6)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    counters = [context.Value("q", 0) for _ in range(options.trainings)]
    with (
        tempfile.TemporaryDirectory(prefix="depthscope-live-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        store = Path(folder) / "store"
        for number, counter in enumerate(counters):
            process = context.Process(target=train, args=(str(store), number, counter), daemon=True)
            process.start()
            stack.callback(process.kill)
        wait(lambda: all(counter.value > 20 for counter in counters))
        url = stack.enter_context(served(store))
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=chromium(), args=FLAGS)
        looked_at(browser, url, counters, 5)  # warms the caches
        pairs = []
        for _ in range(options.rounds):
            shut = rate(counters, options.seconds)
            pairs.append((shut, looked_at(browser, url, counters, options.seconds)))
            print(f"shut {pairs[-1][0]:7.2f}   open {pairs[-1][1]:7.2f} steps a second", flush=True)
        ratios = sorted(shut / looked for shut, looked in pairs)
        print(f"step time with the page open: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
        print(f"{os.cpu_count()} cores, {options.trainings} trainings")
        browser.close()


if __name__ == "__main__":
    main()
