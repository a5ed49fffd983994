"""Pages in a real Chromium: open one, wait for what it draws, and look whether anything went wrong."""

import time

__all__ = ["PLOTS", "SLOW", "healthy", "opened", "rest", "until"]

SLOW = 180_000  # ms; a loaded machine
PLOTS = "[...document.querySelectorAll('.js-plotly-plot')]"
WAITING = "404"  # Streamlit asks for two files below the address of a page before it asks for them where they are


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
