"""Stores, a served dashboard, and a real Chromium for tests marked `browser`.

Where there is no Chromium they are skipped; with DEPTHSCOPE_REQUIRE_BROWSER=1 they fail.
"""

import contextlib
from collections.abc import Iterator

import pytest
from browsing import FLAGS, chromium_path, wait_until_up
from synthetic import SyntheticRun, make_store

from depthscope.app.dashboard import address, free_port, server_process
from depthscope.store import Store


@pytest.fixture(scope="session", autouse=True)
def cache_of_ones_own(tmp_path_factory) -> Iterator[None]:
    """What the dashboard remembers in the user's cache folder stays out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def new_browser(tmp_path_factory) -> Iterator:
    """new_browser() -> a browser of its own, in an empty profile."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, contextlib.ExitStack() as stack:

        def start():
            profile = tmp_path_factory.mktemp("chromium")
            context = playwright.chromium.launch_persistent_context(
                str(profile), executable_path=path, headless=True, args=FLAGS, viewport={"width": 1400, "height": 1000}
            )
            stack.callback(context.close)
            return context

        yield start


@pytest.fixture(scope="session")
def chromium(new_browser):
    """The browser that tests share."""
    return new_browser()


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


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "**bold** $x$ :material/home: `code`",
    "a" * 10_000 + "</script>\u202e\n",
    "../../../etc/passwd'; DROP TABLE runs; -- \U0001f986",
)
"""Names that read as markup, a path or a statement somewhere, and one that does not end."""


@pytest.fixture(scope="session")
def five(tmp_path_factory) -> Store:
    """Five strategies, 6 layers, 12 sampled steps, 3 evaluations; the last run, lns-0, turns NaN half-way."""
    return make_store(tmp_path_factory.mktemp("five") / "store", 5, layers=6, steps=12, evaluated=True)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Store:
    """Runs, strategies, groups, tags, settings and layers with the names of HOSTILE."""
    runs = [SyntheticRun(name, name[:40], words=name) for name in HOSTILE]
    return make_store(tmp_path_factory.mktemp("hostile") / "store", runs, layers=3, steps=4, evaluated=True)


@pytest.fixture(scope="session")
def serve() -> Iterator:
    """serve(store) -> address of a dashboard of its own; every server ends with the session."""
    with contextlib.ExitStack() as stack:

        def start(store: Store) -> str:
            port = free_port("127.0.0.1", 18_500)
            stack.enter_context(server_process(store.path, "127.0.0.1", port))
            url = address("127.0.0.1", port)
            wait_until_up(url)
            return url

        yield start
