"""The report in a real Chromium, from a file, with the network off."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from depthscope.app.report import write_report
from depthscope.store import run_table

pytestmark = pytest.mark.browser

TYPES = """
[...document.querySelectorAll('.plot')].map(plot => ({
    id: plot.id, want: plot.data.map(trace => trace.type), got: plot._fullData.map(trace => trace.type),
    drawn: plot.querySelectorAll('.main-svg').length > 0, label: plot.getAttribute('aria-label'),
}))
"""

CARDS = """
[...document.querySelectorAll('.plot')].filter(plot => {
    const [card, svg] = [plot, plot.querySelector('.main-svg')].map(each => each.getBoundingClientRect());
    const caption = plot.closest('figure').querySelector('figcaption').getBoundingClientRect();
    return svg.bottom > card.bottom + 1 || svg.right > card.right + 1 || caption.top < card.bottom;
}).map(plot => plot.id)
"""
WIDER = """
[...document.querySelectorAll('main *')]
    .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(each => each.outerHTML.slice(0, 120))
"""


@pytest.fixture(scope="module")
def url(five, tmp_path_factory) -> str:
    return write(five, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def two(five, tmp_path_factory) -> str:
    """A report on two runs alone: axe looks at everything in it."""
    return write(five, tmp_path_factory.mktemp("report"), most=2)


def write(store, folder: Path, most: int | None = None) -> str:
    output = folder / "report.html"
    write_report(store, [str(run) for run in run_table(store)["run"]][:most], output)
    return output.as_uri()


@pytest.fixture
def offline(chromium, page):
    chromium.set_offline(True)
    yield page
    chromium.set_offline(False)


def open_report(page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("html[data-figures=drawn]", timeout=60_000)


def test_every_figure_is_drawn_as_meant_without_a_request_or_an_error(url, offline):
    open_report(offline, url)
    figures = offline.evaluate(TYPES)
    assert len(figures) > 20
    for figure in figures:
        # The cartesian bundle draws a trace type that it does not have as an empty scatter, without an error.
        assert figure["want"] == figure["got"] and figure["drawn"] and figure["label"], figure["id"]
    assert {"heatmap", "scatter"} <= {kind for figure in figures for kind in figure["got"]}
    assert offline.errors == [] and offline.hosts <= {"file", "data", "blob"}


def test_hostile_names_run_nothing(hostile, offline, tmp_path):
    offline.on("dialog", lambda dialog: offline.errors.append(f"dialog: {dialog.message}"))
    open_report(offline, write(hostile, tmp_path))
    assert offline.evaluate("document.querySelectorAll('img, b b, svg a').length") == 0
    assert offline.errors == [] and offline.hosts <= {"file", "data", "blob"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(two, offline, scheme):
    offline.emulate_media(color_scheme=scheme)
    open_report(offline, two)
    # What is folded away is read too.
    offline.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    found = Axe().run(offline)
    assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found.response["violations"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_stays_on_its_card_and_off_its_caption(url, offline, scheme):
    offline.emulate_media(color_scheme=scheme)
    open_report(offline, url)
    assert offline.evaluate(CARDS) == []


def test_nothing_offers_to_upload(url, offline):
    open_report(offline, url)
    titles = offline.evaluate("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title || '')")
    assert titles and not [title for title in titles if "loud" in title or "hare" in title or "Plotly" in title]


def test_nothing_is_wider_than_the_window(url, offline):
    for width in (1400, 800, 390):
        offline.set_viewport_size({"width": width, "height": 900})
        open_report(offline, url)
        assert offline.evaluate("document.documentElement.scrollWidth") <= width
    offline.set_viewport_size({"width": 1400, "height": 1000})


def test_numbers_open_under_a_figure(url, offline):
    open_report(offline, url)
    details = offline.locator("#loss figure details:not(.about)")
    details.locator("summary").click()
    assert "pre-0" in details.locator("table").inner_text()


def test_it_prints_a_figure_a_page(url, offline):
    open_report(offline, url)
    figures = offline.evaluate("document.querySelectorAll('.plot').length")
    pdf = offline.pdf(prefer_css_page_size=True)
    pages = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type /Page ") or pdf.count(b"/Type/Page/")
    assert figures <= pages <= 2 * figures + 20


def test_nothing_is_wider_than_the_paper(url, offline):
    """The printer shrinks every page when one table is: A4 across with margins of 12 mm has 1,031 pixels."""
    offline.emulate_media(media="print")
    offline.set_viewport_size({"width": 1031, "height": 703})
    open_report(offline, url)
    assert offline.evaluate(WIDER) == []
    offline.emulate_media(media="screen")
    offline.set_viewport_size({"width": 1400, "height": 1000})


def test_without_javascript_findings_and_numbers_remain(url, chromium):
    browser = chromium.browser or chromium
    page = chromium.new_page()
    try:
        # The persistent context has JavaScript on; the debugger protocol turns it off for one page.
        chromium.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
        page.goto(url)
        text = page.inner_text("body")
        assert "Non-finite values start" in text and browser is not None
        assert page.locator("#loss details").first.is_visible()
    finally:
        page.close()
