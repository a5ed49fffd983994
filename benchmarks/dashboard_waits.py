"""What a reader waits for in the dashboard: charts of a page, another metric, a stretch of the training, many runs."""

import statistics
import time
from collections.abc import Callable

from playwright.sync_api import Page

__all__ = ["listed", "one_chart", "visit_pages", "wait", "zoomed"]

PAGES = {
    "Overview": "overview",
    "Depth profile": "depth",
    "Layer × step": "heatmap",
    "Compare": "compare",
    "Live": "live",
}
PLOTS = "[...document.querySelectorAll('.js-plotly-plot')].filter(g => g._fullData && g.querySelector('.main-svg'))"
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
TABLE = '[data-testid="stDataFrame"] canvas'
PATIENCE = 300.0  # seconds until a wait is given up


def visit_pages(page: Page, url: str, repeat: int) -> None:
    """From a click in the menu to the first chart, and to the last."""
    for title, name in PAGES.items():
        page.goto(f"{url}/help")
        idle(page)
        firsts, alls = [], []
        for turn in range(repeat + 1):
            page.get_by_role("link", name="Help", exact=True).first.click()
            wait(lambda: page.evaluate(f"{PLOTS}.length") == 0)
            idle(page)
            started = time.monotonic()
            page.get_by_role("link", name=title, exact=True).first.click()
            wait(lambda: page.evaluate(f"{PLOTS}.length") > 0)
            first = time.monotonic() - started
            idle(page)
            if turn:  # the first visit warms the caches
                firsts.append(first)
                alls.append(time.monotonic() - started)
        print(f"{name:10} first chart {statistics.median(firsts):6.2f}   all {statistics.median(alls):6.2f}")


def one_chart(page: Page, url: str, repeat: int) -> None:
    """From the choice of a metric to its picture."""
    page.goto(f"{url}/depth")
    wait(lambda: page.evaluate(f"{PLOTS}.length") > 0)
    idle(page)
    taken = []
    for name in ["kurtosis", "abs_max", "block_influence", "update_ratio", "angular_distance"][: max(1, repeat)]:
        page.get_by_role("combobox", name="Metric").click()
        option = page.get_by_role("option", name=name, exact=True)
        option.wait_for()
        started = time.monotonic()
        option.click()
        wait(lambda: page.evaluate(f"{PLOTS}[0]?.layout.yaxis.title.text.startsWith('{name}')"))  # noqa: B023
        taken.append(time.monotonic() - started)
        idle(page)
    print(f"one changed chart      {statistics.median(taken):6.2f}")


def zoomed(page: Page, url: str, repeat: int) -> None:
    """From the end of a drag over a tenth of the training to its finer points."""
    taken = []
    for _ in range(repeat):
        page.goto(f"{url}/live")
        wait(lambda: page.evaluate(f"{PLOTS}.length") > 0)
        idle(page)
        left, right, y, before = page.evaluate(
            f"(g => {{ const r = g.getBoundingClientRect(), s = g._fullLayout._size, x = r.x + s.l;"
            f" return [x + 0.6 * s.w, x + 0.7 * s.w, r.y + s.t + s.h / 2, g._fullData.at(-1).x.at(0)] }})({PLOTS}[0])"
        )
        page.mouse.move(left, y)
        page.mouse.down()
        page.mouse.move((left + right) / 2, y + 1)
        page.mouse.move(right, y)
        page.mouse.up()
        started = time.monotonic()
        wait(lambda: page.evaluate(f"{PLOTS}[0]._fullData.at(-1).x.at(0)") != before)  # noqa: B023
        taken.append(time.monotonic() - started)
        idle(page)
    print(f"one stretch of it      {statistics.median(taken):6.2f}")


def listed(page: Page, url: str, count: int, repeat: int) -> None:
    """From a click in the menu to the table of all runs; from a search to its answer; until all have a verdict."""
    page.goto(f"{url}/runs")
    begun = time.monotonic()
    wait(lambda: page.locator(TABLE).count() > 0)
    first = time.monotonic() - begun
    wait(lambda: page.locator(IDLE).count() and "Verdicts:" not in _words(page))
    judged = time.monotonic() - begun
    again = _again(page, repeat)
    print(f"table of {count:,} runs    {again:6.2f}   first visit {first:.2f}, all verdicts {judged:.1f}")
    print(f"a search among them    {_search(page, count):6.2f}")


def _words(page: Page) -> str:
    return str(page.locator('[data-testid="stMain"]').inner_text())


def _again(page: Page, repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        page.get_by_role("link", name="Help", exact=True).first.click()
        wait(lambda: page.locator(TABLE).count() == 0)
        idle(page)
        started = time.monotonic()
        page.get_by_role("link", name="Runs", exact=True).first.click()
        wait(lambda: page.locator(TABLE).count() > 0)
        taken.append(time.monotonic() - started)
        idle(page)
    return statistics.median(taken)


def _search(page: Page, count: int) -> float:
    """Until the table says how many runs there are of this name."""
    field = page.get_by_role("textbox", name="Search")
    field.fill("lns-00")
    started = time.monotonic()
    field.press("Enter")
    wait(lambda: f"{count:,} runs" not in _words(page))
    return time.monotonic() - started


def idle(page: Page) -> None:
    page.wait_for_selector(IDLE, timeout=PATIENCE * 1000)


def wait(done: Callable[[], object]) -> None:
    """Ask again until it is so; the pages' content security policy forbids playwright's own way."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the dashboard did not answer")
        time.sleep(0.01)
