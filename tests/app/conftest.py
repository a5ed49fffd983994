"""A real Chromium for tests marked `browser`: skipped where there is none, a failure with DEPTHSCOPE_REQUIRE_BROWSER=1."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> Iterator:
    """A browser context of its own, in an empty profile."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    profile = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=path, headless=True, args=FLAGS, viewport={"width": 1400, "height": 1000}
        )
        yield context
        context.close()


@pytest.fixture
def page(chromium) -> Iterator:
    """A page that remembers console errors (`page.errors`) and every host it asked for anything (`page.hosts`)."""
    page = chromium.new_page()
    page.errors, page.hosts = [], set()
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.hosts.add(host_of(request.url)))
    yield page
    page.close()


def host_of(url: str) -> str:
    """'127.0.0.1' of an http or ws address, the scheme of any other (file, data, blob)."""
    scheme, _, rest = url.partition("://")
    return rest.split("/")[0].split(":")[0] if scheme in ("http", "https", "ws", "wss") else url.partition(":")[0]
