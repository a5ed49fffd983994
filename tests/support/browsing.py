"""Pages in a real Chromium: open one, wait for what it draws, and look whether anything went wrong."""

import os
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

__all__ = ["FLAGS", "PLOTS", "SLOW", "chromium_path", "healthy", "opened", "rest", "until", "wait_until_up"]

SLOW = 180_000  # ms; a loaded machine
PLOTS = "[...document.querySelectorAll('.js-plotly-plot')]"
WAITING = "404"  # Streamlit asks for two files below the address of a page before it asks for them where they are
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """The browser's program. Skips the test, or fails it where a browser is required."""
    named = os.environ.get("DEPTHSCOPE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found and Path(found).exists():
        return found
    missing = "no Chromium: install Debian's package chromium, or name one in DEPTHSCOPE_CHROMIUM"
    if os.environ.get("DEPTHSCOPE_REQUIRE_BROWSER") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def wait_until_up(url: str, seconds: float = 60.0) -> None:
    """Return as soon as the server answers; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no dashboard at {url} after {seconds:.0f} s")


def opened(page, url, count):
    """The page with `count` charts painted and the script at rest."""
    page.goto(url)
    until(page, f"{PLOTS}.filter(g => g._fullData && g.querySelector('.main-svg')).length === {count}")
    rest(page)
    return page


def until(page, expression):
    """Wait until `expression` is true in the page. Its content security policy forbids playwright's own way."""
    deadline = time.monotonic() + SLOW / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        page.wait_for_timeout(50)


def rest(page):
    """Wait until the script is done."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=SLOW)


def healthy(page):
    """No request left the machine and the console has no error."""
    assert page.hosts <= {"127.0.0.1", "data", "blob"}
    assert [error for error in page.errors if WAITING not in error] == []
