"""Zooming into the training in a real Chromium: finer numbers, kept through live data, controls, reload and Back."""

import pytest
from browsing import PLOTS, healthy, opened, rest, until
from synthetic import SyntheticRun, make_store

pytestmark = pytest.mark.browser

RUNNING = [SyntheticRun("first", "pre", status="running")]
SHOWN = "(g => g._fullLayout.xaxis.range.map(Math.round))"


def drag(page, nth, first, last):
    """Drag over chart `nth` from position `first` to `last` of its horizontal axis."""
    page.evaluate(f"{PLOTS}[{nth}].scrollIntoView({{block: 'center'}})")
    left, right, y = page.evaluate(
        f"(g => {{ const r = g.getBoundingClientRect(), l = g._fullLayout, s = l._size, x = r.x + s.l;"
        f" return [x + l.xaxis.d2p({first}), x + l.xaxis.d2p({last}), r.y + s.t + s.h / 2] }})({PLOTS}[{nth}])"
    )
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move((left + right) / 2, y + 1)
    page.mouse.move(right, y)
    page.mouse.up()


def points(page, nth, name):
    """Steps and values of the trace `name` of chart `nth`."""
    return page.evaluate(
        f"(g => {{ const t = g._fullData.find(t => t.name === '{name}');"
        f" return [...t.x].map((x, i) => [x, t.y[i]]) }})({PLOTS}[{nth}])"
    )


def test_a_zoom_asks_for_its_stretch_and_lasts_until_a_double_click(page, serve, tmp_path):
    path = tmp_path / "store"
    store = make_store(path, RUNNING, layers=2, steps=150)
    opened(page, f"{serve(store)}/live", 3)
    coarse = points(page, 0, "first")
    assert len(coarse) == 1000  # of 1,500 steps
    drag(page, 0, 700, 760)
    page.wait_for_url("**/live?zoom=*")
    until(page, f"{PLOTS}[0].calcdata.at(-1).length < 80")
    rest(page)
    first, last = page.evaluate(f"{SHOWN}({PLOTS}[0])")
    assert 690 <= first < last <= 770
    fine = [step for step, _ in points(page, 0, "first")]
    assert fine == list(range(fine[0], fine[-1] + 1)) and fine[0] <= first < last <= fine[-1]  # every step there is
    assert page.evaluate(f"{SHOWN}({PLOTS}[1])") == [first, last]  # the other figure over training follows

    # New numbers, another metric, a reload: the stretch stays.
    page.evaluate(f"{PLOTS}.forEach(g => g.dataset.mark = 'same')")
    make_store(path, [SyntheticRun("second", "post", status="running")], layers=2, steps=150)
    until(page, f"{PLOTS}[0].data.some(t => t.name === 'second')")
    page.get_by_role("combobox", name="Metric").click()
    page.get_by_role("option", name="kurtosis", exact=True).click()
    until(page, f"{PLOTS}[2].layout.yaxis.title.text.startsWith('kurtosis')")
    assert page.evaluate(f"{PLOTS}.slice(0, 2).map({SHOWN})") == [[first, last]] * 2
    assert page.evaluate(f"{PLOTS}.map(g => g.dataset.mark)") == ["same"] * 3
    rest(page)
    page.reload()
    until(page, f"{PLOTS}.length === 3 && {PLOTS}[0]._fullLayout?.xaxis && {PLOTS}[0].calcdata.at(-1).length < 80")
    rest(page)
    assert page.evaluate(f"{SHOWN}({PLOTS}[0])") == [first, last]

    # A double click shows all; Back zooms in again.
    page.evaluate(f"{PLOTS}[0].scrollIntoView({{block: 'center'}})")
    x, y = page.evaluate(f"(g => {{ const r = g.getBoundingClientRect(); return [r.x + 150, r.y + 150] }})({PLOTS}[0])")
    page.mouse.dblclick(x, y)
    until(page, f"!location.search.includes('zoom') && {PLOTS}[0].calcdata.at(-1).length === 1000")
    rest(page)
    assert page.evaluate(f"{SHOWN}({PLOTS}[1])[1]") > 1400
    page.go_back()
    until(page, f"location.search.includes('zoom') && {PLOTS}[0].calcdata.at(-1).length < 80")
    rest(page)
    assert page.evaluate(f"{SHOWN}({PLOTS}[0])") == [first, last]
    healthy(page)


def test_a_heatmap_zooms_and_the_keyboard_leads_back(page, serve, tmp_path):
    store = make_store(tmp_path / "store", ["pre"], layers=2, steps=900)
    opened(page, f"{serve(store)}/heatmap", 3)
    cells = "(g => g._fullData[0].x.length)"
    assert page.evaluate(f"{cells}({PLOTS}[0])") == 400
    drag(page, 0, 2000, 3000)
    until(page, f"location.search.includes('zoom') && {cells}({PLOTS}[0]) < 120")
    rest(page)
    assert page.evaluate(f"{SHOWN}({PLOTS}[1])") == page.evaluate(f"{SHOWN}({PLOTS}[0])")
    x, y = page.evaluate(
        f"(g => {{ const r = g.getBoundingClientRect(), l = g._fullLayout;"
        f" return [r.x + l._size.l + l.xaxis.d2p(2400), r.y + l._size.t + l.yaxis.d2p(1)] }})({PLOTS}[0])"
    )
    page.mouse.move(x, y)
    # Plotly clicks on the point that it says the mouse is over, which it looks up every 50 ms: no hand is faster.
    until(page, f"Math.round(({PLOTS}[0]._hoverdata ?? [{{}}])[0].x / 100) === 24")
    page.mouse.click(x, y)
    page.wait_for_url("**/heatmap?*layers=1*step=24*")
    rest(page)
    back = page.get_by_role("button", name="Show all of it")
    back.focus()
    page.keyboard.press("Enter")
    until(page, f"!location.search.includes('zoom') && {cells}({PLOTS}[0]) === 400")
    healthy(page)
