"""The way of someone who has never seen a dashboard of this kind, from the address to a report for a colleague."""

import pytest
from browsing import PLOTS, SLOW, healthy, opened, rest, until

pytestmark = pytest.mark.browser


def shown(page) -> list:
    """What the three charts of the heatmap page say: titles of the axes, names of the lines, the marked step."""
    return page.evaluate(
        f"{PLOTS}.map(g => [g.layout.xaxis.title.text, (g.data[0].colorbar || {{}}).title?.text,"
        " g.data.map(t => t.name), (g.layout.shapes || []).map(s => s.x0)])"
    )


def test_from_the_top_finding_to_a_report(page, new_browser, serve, five, tmp_path):
    opened(page, serve(five), 2)

    # The worst comes first, in a sentence with its run, layer and step.
    finding = page.locator('[data-testid="stMarkdown"]').filter(has_text="Critical lns-0").first
    assert "step 60" in finding.inner_text()
    page.get_by_role("link", name="Evidence").first.click()
    page.wait_for_url("**/heatmap?*run=lns-0*metric=nonfinite*step=60*", timeout=SLOW)
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[2].layout && {PLOTS}[2].data[0].name === 'lns-0'")
    rest(page)

    # Another strategy, and one layer of it.
    page.get_by_role("combobox", name="Run", exact=True).click()
    page.get_by_role("option", name="pre-0", exact=True).click()
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[2].layout && {PLOTS}[2].data[0].name === 'pre-0'")
    page.get_by_role("combobox", name="Layers").click()
    page.get_by_role("option", name="2", exact=True).click()
    page.keyboard.press("Escape")
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[1].data.some(t => t.name === 'layer 2')")
    page.wait_for_url("**layers=2*", timeout=SLOW)
    rest(page)

    # The link shows a colleague the same.
    colleague = new_browser().new_page()
    opened(colleague, page.url, 3)
    assert shown(colleague) == shown(page)
    colleague.close()

    # And the report goes with it.
    page.get_by_role("link", name="Report", exact=True).click()
    button = page.get_by_role("button", name="Report (HTML)")
    button.wait_for(timeout=SLOW)
    rest(page)
    with page.expect_download(timeout=SLOW) as download:
        button.click()
    download.value.save_as(tmp_path / "report.html")
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert download.value.suggested_filename == "depthscope-report.html"
    assert "lns-0" in written and "Effectiveness of layers" in written
    healthy(page)
