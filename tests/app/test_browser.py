"""Every page in a real Chromium, served by the launcher that users start. Charts are read through plotly's own data."""

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PLOTS, SLOW, healthy, opened, rest, until
from page_charts import CHARTS
from synthetic import SyntheticRun, make_store

from depthscope.app.pages import PAGES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def dashboard(serve, five):
    return serve(five)


def title(page, nth=0):
    return page.evaluate(f"{PLOTS}[{nth}].layout.yaxis.title.text")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_on_any_page(page, dashboard, scheme):
    page.emulate_media(color_scheme=scheme)
    for name, count in CHARTS.items():
        opened(page, f"{dashboard}/{'' if name == 'overview' else name}", count)
        found = Axe().run(page)
        told = [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found.response["violations"]]
        assert told == [], name


@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_a_page_draws_its_charts(page, dashboard, name, tmp_path):
    opened(page, f"{dashboard}/{name}", CHARTS[name])
    traces = page.evaluate(f"{PLOTS}.map(g => [g.data.map(t => t.type), g._fullData.map(t => t.type)])")
    for wanted, got in traces:
        assert wanted == got and set(got) <= {"scatter", "heatmap", "bar"}  # an unknown type silently becomes 'scatter'
    assert page.evaluate(f"{PLOTS}.every(g => g.querySelector('.trace, .heatmaplayer image'))")
    assert page.get_by_role("figure").count() == CHARTS[name]
    assert page.locator('[data-testid="stException"]').count() == 0
    page.screenshot(path=tmp_path / f"{name}.png")
    healthy(page)


@pytest.mark.parametrize("name", ["overview", "depth", "live"])
def test_the_menu_marks_the_page_on_screen(page, dashboard, name):
    opened(page, f"{dashboard}/{name}", CHARTS[name])
    weights = "a => [a.innerText.trim(), +getComputedStyle(a.querySelector('p')).fontWeight]"
    links = page.evaluate(
        f"[...document.querySelectorAll('[data-testid=stSidebar] [data-testid=stPageLink-NavLink]')].map({weights})"
    )
    titles = {each.name: each.title for each in PAGES}
    assert [words.split("\n")[-1] for words, weight in links if weight == max(w for _, w in links)] == [titles[name]]


def test_a_window_of_1024_pixels_cuts_no_control_and_leaves_charts_their_width(page, dashboard):
    page.set_viewport_size({"width": 1024, "height": 900})
    opened(page, f"{dashboard}/depth", CHARTS["depth"])
    edges = (
        "[...document.querySelectorAll('[data-testid=stMain] .stColumn button')].map(b => [b, b.closest('.stColumn')])"
    )
    beyond = f"{edges}.filter(([b, c]) => b.getBoundingClientRect().right > c.getBoundingClientRect().right + 1).length"
    assert page.evaluate(f"{edges}.length") >= 2
    assert page.evaluate(beyond) == 0
    opened(page, f"{dashboard}/live", CHARTS["live"])
    assert min(page.evaluate(f"{PLOTS}.map(g => g.clientWidth)")) > 400


def test_a_changed_metric_is_in_the_link(page, chromium, dashboard):
    opened(page, f"{dashboard}/depth", 2)
    assert title(page).startswith("variance")
    page.get_by_role("combobox", name="Metric").click()
    page.get_by_role("option", name="kurtosis", exact=True).click()
    until(page, f"{PLOTS}[0].layout.yaxis.title.text.startsWith('kurtosis')")
    page.wait_for_url("**/depth?metric=kurtosis", timeout=SLOW)
    page.get_by_text("tokens", exact=True).click()
    page.wait_for_url("**/depth?metric=kurtosis&x=tokens", timeout=SLOW)
    rest(page)

    other = chromium.new_page()
    opened(other, page.url, 1)
    assert title(other) == title(page)
    other.close()

    page.reload()
    until(page, f"{PLOTS}.length === 1 && {PLOTS}[0].layout")
    assert title(page).startswith("kurtosis")
    healthy(page)


def test_the_view_goes_with_the_reader_from_page_to_page_and_back(page, dashboard):
    opened(page, f"{dashboard}/depth?metric=kurtosis&runs=pre-0&runs=post-0", 1)
    page.get_by_role("link", name="Layer × step").click()
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[0].layout")
    page.wait_for_url("**/heatmap?*metric=kurtosis*", timeout=SLOW)
    rest(page)
    assert "kurtosis" in page.evaluate(f"{PLOTS}[0].data[0].colorbar.title.text")
    page.go_back()  # one step: no bare address in between
    until(page, f"{PLOTS}.length === 1 && {PLOTS}[0].layout.yaxis.title.text.startsWith('kurtosis')")
    rest(page)
    assert page.evaluate(f"{PLOTS}[0].data.map(t => t.name)") == ["pre-0", "post-0"]
    healthy(page)


def test_a_reader_who_is_faster_than_the_widgets_keeps_the_view(page, dashboard):
    asked = f"{dashboard}/depth?metric=kurtosis&runs=pre-0&runs=post-0&step=40&x=tokens"
    held = []
    page.route(re.compile(r"/(Selectbox|Multiselect|ButtonGroup|Slider)\.[^/]*\.js"), lambda route: held.append(route))
    opened(page, asked, 1)
    page.get_by_role("link", name="Layer × step").click()
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[0].layout")
    rest(page)
    assert len(held) == 4
    for route in held:
        route.continue_()
    page.get_by_role("combobox", name="Metric").wait_for(timeout=SLOW)
    page.get_by_role("slider").first.wait_for(timeout=SLOW)
    page.go_back()
    until(page, f"{PLOTS}.length === 1 && {PLOTS}[0].layout")
    rest(page)
    assert page.url == asked
    assert title(page).startswith("kurtosis")
    healthy(page)


def test_the_top_finding_leads_to_its_layer_and_step_and_the_link_shows_the_same(page, chromium, dashboard):
    opened(page, dashboard, 2)
    page.get_by_role("link", name="Evidence").first.click()
    page.wait_for_url("**/heatmap?*run=lns-0*metric=nonfinite*step=60*", timeout=SLOW)
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[2].layout && {PLOTS}[2].data[0].name === 'lns-0'")
    rest(page)
    other = chromium.new_page()
    opened(other, page.url, 3)
    assert [title(other, n) for n in range(3)] == [title(page, n) for n in range(3)]
    other.close()
    healthy(page)


def test_a_click_on_the_heatmap_sets_layer_and_step(page, dashboard):
    opened(page, f"{dashboard}/heatmap?run=pre-0&phase=train", 3)
    page.evaluate(f"{PLOTS}[0].scrollIntoView({{block: 'center'}})")
    spot = page.evaluate(
        f"(g => {{ const r = g.getBoundingClientRect(), l = g._fullLayout;"
        f" return [r.x + l._size.l + l.xaxis.d2p(40), r.y + l._size.t + l.yaxis.d2p(3)] }})({PLOTS}[0])"
    )
    page.mouse.move(*spot)
    page.mouse.click(*spot)
    page.wait_for_url("**/heatmap?*layers=3&step=40*", timeout=SLOW)
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[1].layout && {PLOTS}[1].data.some(t => t.name === 'layer 3')")
    rest(page)
    assert "layers=3" in page.url
    assert "step=40" in page.url
    healthy(page)


def test_hostile_names_are_inert(page, serve, hostile):
    url = serve(hostile)
    page.on("dialog", lambda dialog: pytest.fail(f"a name was executed: {dialog.message}"))
    for name, count in CHARTS.items():
        opened(page, f"{url}/{'' if name == 'overview' else name}", count)
        assert page.locator('img[src="x"]').count() == 0
        assert page.locator("strong, b").filter(has_text="bold").count() == 0
        assert page.locator(".katex").count() == 0
        legends = page.evaluate(f"{PLOTS}.flatMap(g => [...g.querySelectorAll('.legendtext')].map(t => t.textContent))")
        if name == "depth":
            assert "<img src=x onerror=alert(1)>" in legends
    healthy(page)


def test_a_running_run_grows_on_screen_without_losing_the_page(page, serve, tmp_path):
    store = make_store(tmp_path / "store", [SyntheticRun("first", "pre", status="running")], layers=2, steps=3)
    opened(page, f"{serve(store)}/runs", 1)
    assert page.evaluate(f"{PLOTS}[0].data.map(t => t.name)") == ["first"]
    page.evaluate("window.same = true")
    make_store(tmp_path / "store", [SyntheticRun("second", "post", status="running")], layers=2, steps=3)
    started = time.monotonic()
    until(page, f"{PLOTS}[0].data.map(t => t.name).join() === 'first,second'")
    assert time.monotonic() - started < 45  # before the first run counts as stalled, which would redraw the page too
    assert page.evaluate("window.same")
    healthy(page)


def test_a_page_that_waits_for_a_store_shows_it_when_it_comes(page, serve, tmp_path):
    class Nowhere:
        path = tmp_path / "later"

    page.goto(f"{serve(Nowhere)}/runs")
    page.get_by_text("Nothing to show yet").wait_for(timeout=SLOW)
    make_store(Nowhere.path, ["pre"], layers=2, steps=3)
    until(page, f"{PLOTS}.length === 1")
    assert page.get_by_text("Nothing to show yet").count() == 0
    healthy(page)


def test_zoom_stays_while_nothing_changes(page, dashboard):
    opened(page, f"{dashboard}/depth", 2)
    page.evaluate(f"window.Plotly ? 0 : 0; {PLOTS}[0].dataset.mark = 'kept'")
    page.get_by_text("tokens", exact=True).click()
    page.wait_for_url("**/depth?x=tokens", timeout=SLOW)
    rest(page)
    assert page.evaluate(f"{PLOTS}[0].dataset.mark") == "kept"
