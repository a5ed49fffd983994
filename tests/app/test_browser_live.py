"""The live page in a real Chromium: charts that are updated in place keep their zoom, and pause stops them."""

import pytest
from browsing import PLOTS, healthy, opened, rest, until
from synthetic import SyntheticRun, make_store

pytestmark = pytest.mark.browser


def names(page, nth=0):
    return page.evaluate(f"{PLOTS}[{nth}].data.map(t => t.name)")


def test_a_zoom_survives_new_numbers_in_the_same_charts(page, serve, tmp_path):
    path = tmp_path / "store"
    store = make_store(path, [SyntheticRun("first", "pre", status="running")], layers=2, steps=3)
    opened(page, f"{serve(store)}/live", 3)
    assert names(page) == ["first"]
    zoom = "(g => g._fullLayout.xaxis.range.map(x => Math.round(x)))"
    page.evaluate(f"(g => window.Plotly.relayout(g, {{'xaxis.range': [5, 15]}}))({PLOTS}[0])")
    page.evaluate(f"{PLOTS}.forEach(g => g.dataset.mark = 'same')")
    make_store(path, [SyntheticRun("second", "post", status="running")], layers=2, steps=3)
    until(page, f"{PLOTS}[0].data.map(t => t.name).join() === 'first,second'")
    assert page.evaluate(f"{zoom}({PLOTS}[0])") == [5, 15]
    assert page.evaluate(f"{PLOTS}.map(g => g.dataset.mark)") == ["same"] * 3
    healthy(page)


def test_a_paused_page_stands_still(page, serve, tmp_path):
    path = tmp_path / "store"
    store = make_store(path, [SyntheticRun("first", "pre", status="running")], layers=2, steps=3)
    opened(page, f"{serve(store)}/live", 3)
    page.get_by_text("Follow live", exact=True).click()
    page.wait_for_timeout(3000)  # the click reaches the server, whose script then draws the page once more
    rest(page)
    make_store(path, [SyntheticRun("second", "post", status="running")], layers=2, steps=3)
    page.wait_for_timeout(6000)  # longer than the slowest look
    assert names(page) == ["first"]
    page.get_by_text("Follow live", exact=True).click()
    until(page, f"{PLOTS}[0].data.map(t => t.name).join() === 'first,second'")
    assert page.get_by_role("figure").count() == 3
    healthy(page)
