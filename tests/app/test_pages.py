"""Every page in Streamlit's own test runner: no browser, so no layout; what is on the page and that nothing raises."""

import json
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
import streamlit as st
from page_charts import CHARTS
from streamlit.testing.v1 import AppTest
from synthetic import SyntheticRun, make_store

from depthscope.app.findings import FINDINGS
from depthscope.app.pages import PAGES
from depthscope.app.view import View, from_params, to_params
from depthscope.store import StoreBusy, StoreMissing

NAMES = [page.name for page in PAGES]


@pytest.fixture
def app(monkeypatch):
    """app(store path, page, **query) -> the page after its first run."""

    def start(path, page, **query):
        monkeypatch.setenv("DEPTHSCOPE_STORE", str(path))
        test = AppTest.from_string(
            f"from depthscope.app.shell import shell\nshell({page!r})", default_timeout=180
        )  # a loaded machine
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return start


def charts(test):
    return [SimpleNamespace(**json.loads(element.proto.json)) for element in test.get("bidi_component")]


def query(test):
    return {name: [value] if isinstance(value, str) else value for name, value in test.query_params.items()}


def words(test):
    kinds = (test.markdown, test.caption, test.header, test.subheader, test.warning, test.info)
    return " ".join(element.value for kind in kinds for element in kind)


@pytest.mark.parametrize("page", NAMES)
def test_a_page_shows_its_charts_with_caption_and_alt_text(five, app, page):
    test = app(five.path, page)
    assert not test.exception
    assert test.header[0].value == next(p.title for p in PAGES if p.name == page)
    drawn = charts(test)
    assert len(drawn) == CHARTS[page]
    assert all(chart.alt.endswith(".") for chart in drawn)
    assert {trace["type"] for chart in drawn for trace in json.loads(chart.spec)["data"]} <= {
        "scatter",
        "heatmap",
        "bar",
    }
    assert words(test).count("Look") >= len(drawn)


@pytest.mark.parametrize("page", NAMES)
def test_hostile_names_break_no_page(hostile, app, page):
    test = app(hostile.path, page)
    assert not test.exception
    assert "<img" not in words(test).replace("\\<", "")  # an escaped one is text
    for chart in charts(test):
        names = [trace.get("name") or "" for trace in json.loads(chart.spec)["data"]]
        assert not any("<" in name for name in names)
    assert set(test.sidebar.multiselect[0].value) == set(hostile.runs()["run"])


@pytest.mark.parametrize("page", NAMES)
def test_a_missing_store_teaches_how_to_get_one(tmp_path, app, page):
    test = app(tmp_path / "nowhere", page)
    assert not test.exception
    assert any(f"depthscope demo --store {tmp_path}/nowhere" in code.value for code in test.code)
    assert any("watch(model" in code.value for code in test.code)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_no_store_says_so(tmp_path, app):
    (tmp_path / "notes.txt").write_text("mine")
    test = app(tmp_path, "runs")
    assert not test.exception
    assert "depthscope demo" in test.code[0].value


@pytest.mark.parametrize("page", NAMES)
def test_an_empty_store_waits_for_runs(tmp_path, app, page):
    (tmp_path / "store" / "spool").mkdir(parents=True)
    test = app(tmp_path / "store", page)
    assert not test.exception
    assert "no runs yet" in words(test)


@pytest.mark.parametrize("page", NAMES)
def test_no_run_chosen_is_no_error(five, app, page):
    test = app(five.path, page)
    test.sidebar.multiselect[0].set_value([]).run()
    assert not test.exception


def test_the_overview_leads_from_the_worst_finding_to_its_evidence(five, app):
    test = app(five.path, "overview")
    text = words(test)
    assert ":red-badge[" in text and text.index(":red-badge[") < text.index(":blue-badge[")
    assert "Critical] lns\\-0 · " in text
    links = [link.proto for link in test.get("page_link") if link.proto.label == "Evidence"]
    assert len(links) == 6
    asked = from_params(parse_qs(links[0].query_string))
    assert (asked.run, asked.metric, asked.step) == ("lns-0", "nonfinite", 60)
    assert links[0].page == "heatmap"
    assert any(box.label.endswith("checks in order") for box in test.expander)


def test_the_places_of_massive_activations(five, app):
    test = app(five.path, "massive", run="post-0", runs=["pre-0", "post-0"])
    assert not test.exception
    channels, tokens = (frame.value for frame in test.dataframe[-2:])
    assert list(channels["Channel"]) == [7, 14, 21] and list(tokens["Token"]) == [0]
    assert list(channels["Share of steps"]) == [100.0] * 3
    assert list(channels["Layers"]) == ["1–6"] * 3
    assert query(test)["run"] == ["post-0"]


def test_depth_may_be_relative_and_is_in_the_url(five, app):
    test = app(five.path, "depth", depth="relative")
    assert not test.exception
    axis = json.loads(charts(test)[0].spec)["layout"]["xaxis"]
    assert axis["title"]["text"].startswith("Relative depth")
    assert query(test)["depth"] == ["relative"]


def test_the_runs_page_judges_draws_and_searches(five, app):
    test = app(five.path, "runs", search="LNS")
    assert not test.exception
    table = test.dataframe[0].value
    assert list(table["Run"]) == ["lns-0"] and list(table["Verdict"]) == ["⛔ critical"]
    assert list(table["Group"]) == ["synthetic"] and len(table["Loss"][0]) == 20  # NaN in the second half
    assert query(test)["search"] == ["LNS"]


def test_seeds_of_a_strategy_are_grouped_and_compared_with_a_baseline(tmp_path, app):
    runs = [SyntheticRun("a", "pre"), SyntheticRun("b", "pre"), SyntheticRun("c", "post")]
    test = app(make_store(tmp_path / "store", runs, layers=2, steps=3).path, "compare", baseline="b")
    assert not test.exception
    names = [trace.get("name") for trace in json.loads(charts(test)[0].spec)["data"]]
    assert "pre: mean of n = 2" in names
    differences, settings = test.dataframe[-2].value, test.dataframe[-1].value
    assert set(differences["Run"]) == {"a", "c"}
    assert list(settings["Run"]) == ["a", "b", "c"]  # more runs than settings that differ: a row a run
    assert "seed" in settings and "lr" not in settings
    assert query(test)["baseline"] == ["b"]


def test_play_moves_the_step(five, app):
    test = app(five.path, "depth")
    test.toggle[0].set_value(True).run()
    test.session_state["_tick"] = True
    test.run()
    assert (test.select_slider[0].value, test.toggle[0].value) == (0, True)
    test.session_state["_tick"] = True
    test.run()
    assert test.select_slider[0].value == 10 and query(test)["step"] == ["10"]


def test_help_explains_every_metric_site_and_finding(five, app):
    test = app(five.path, "help")
    assert not test.exception
    cells = " ".join(str(cell) for table in test.table for cell in table.value.to_numpy().ravel())
    for name in ("kurtosis", "made up", "resid\\_post", "whole block", *(c.title for c in FINDINGS.values())):
        assert name.replace("-", "\\-") in cells
    links = [link.proto.page for link in test.get("page_link")]
    assert all(links.count(page.name) == 2 for page in PAGES if page.name not in ("help", "overview"))


def test_the_newest_runs_are_shown_first(tmp_path, app):
    store = make_store(tmp_path / "store", [SyntheticRun(f"r{n:02}", "pre") for n in range(10)], layers=2, steps=2)
    test = app(store.path, "runs")
    assert test.sidebar.multiselect[0].value == [f"r{n:02}" for n in range(2, 10)]
    assert not test.query_params


def test_the_url_gives_the_view(five, app):
    wanted = View(runs=("peri-0", "lns-0"), metric="kurtosis", step=30, x="tokens", scale="log", phase="train")
    test = app(five.path, "depth", **to_params(wanted))
    assert not test.exception
    assert test.sidebar.multiselect[0].value == ["peri-0", "lns-0"]
    assert [box.value for box in test.selectbox] == ["kurtosis", "resid_post"]
    assert test.select_slider[0].value == 30
    spec = json.loads(charts(test)[0].spec)
    assert [trace["name"] for trace in spec["data"]][:2] == ["peri-0", "lns-0"]
    assert spec["layout"]["yaxis"]["type"] == "log"
    assert "at step 30\\." in words(test)


def test_what_is_picked_goes_into_the_url(five, app):
    test = app(five.path, "depth")
    assert not test.query_params
    test.selectbox[0].set_value("param_grad_norm").run()
    test.select_slider[0].set_value(20).run()
    test.sidebar.multiselect[0].set_value(["pre-0"]).run()
    assert not test.exception
    assert query(test) == {"metric": ["param_grad_norm"], "site": ["block"], "step": ["20"], "runs": ["pre-0"]}


def test_a_stretch_is_in_the_url_until_all_is_shown_or_the_axis_is_another(five, app):
    test = app(five.path, "runs", zoom=["30", "60"])
    assert json.loads(charts(test)[0].spec)["layout"]["xaxis"]["range"] == [30, 60]
    assert query(test) == {"zoom": ["30", "60"]}
    assert "Zoomed into: optimizer step 30 to 60." in words(test)
    test.button(key="all").click().run()
    assert not test.query_params and not test.exception
    assert json.loads(charts(test)[0].spec)["layout"]["xaxis"]["autorange"] is True

    test = app(five.path, "runs", zoom=["30", "60"])
    test.session_state["view.x"] = "tokens"
    test.run()
    assert query(test) == {"x": ["tokens"]} and not test.exception


def test_bad_links_show_the_defaults(five, app):
    query = {"runs": ["gone"], "metric": ["<b>"], "site": ["??"], "step": ["x"], "layers": ["99"], "x": ["no"]}
    test = app(five.path, "heatmap", **query)
    assert not test.exception
    assert len(test.sidebar.multiselect[0].value) == 5
    assert len(charts(test)) == 3


def test_layers_and_run_of_the_heatmap(five, app):
    test = app(five.path, "heatmap", run="lns-0", layers=["2", "5"])
    assert not test.exception
    names = [trace.get("name") for trace in json.loads(charts(test)[1].spec)["data"]]
    assert {"layer 2", "layer 5"} <= set(names) and "layer 3" not in names
    assert "cells are NaN or Inf" in words(test)
    assert query(test) == {"run": ["lns-0"], "layers": ["2", "5"]}


def test_runs_can_be_chosen_in_the_table(five, app, monkeypatch):
    test = app(five.path, "runs")
    assert not test.button
    test.session_state["runs-table"] = {"selection": {"rows": [0, 4], "columns": []}}
    test.run()
    assert test.button[0].label == "Show only the 2 selected"
    test.button[0].click().run()
    assert not test.exception
    assert set(test.sidebar.multiselect[0].value) == {"pre-0", "lns-0"}


def test_a_pinned_run_stays_on_screen_and_on_top(five, app):
    test = app(five.path, "runs")
    test.session_state["runs-table"] = {"selection": {"rows": [4], "columns": []}}
    test.run()
    test.button[1].click().run()
    assert not test.exception
    assert query(test)["pins"] == ["pre-0"]
    assert test.dataframe[0].value["Run"].iloc[0] == "pre-0" and test.dataframe[0].value["Pinned"].iloc[0] == "📌"
    assert "pre-0" not in test.sidebar.multiselect[0].options
    test.sidebar.multiselect[0].set_value(["post-0"]).run()
    names = {trace.get("name") for trace in json.loads(charts(test)[0].spec)["data"]}
    assert {"pre-0", "post-0"} <= names and "lns-0" not in names


def test_runs_are_grouped_by_a_setting(tmp_path, app):
    runs = [SyntheticRun("a", "pre"), SyntheticRun("b", "pre"), SyntheticRun("c", "post")]
    store = make_store(tmp_path / "store", runs, layers=2, steps=3)
    test = app(store.path, "runs")
    assert list(test.dataframe[1].value["Group"]) == ["post", "pre"] and list(test.dataframe[1].value["n"]) == [1, 2]
    grouped = app(store.path, "compare", group="seed")
    assert not grouped.exception
    assert query(grouped)["group"] == ["seed"]


def test_the_numbers_of_a_chart(five, app):
    test = app(five.path, "depth")
    drawer = next(box for box in test.expander if box.label == "Data")
    assert not drawer.dataframe
    test.session_state["data-depth_profile"] = True
    test.run()
    assert not test.exception
    (frame,) = next(box for box in test.expander if box.label == "Data").dataframe
    assert len(frame.value) == 5 * 7


def test_a_metric_is_defined_on_its_page(five, app):
    text = words(app(five.path, "depth", metric="kurtosis"))
    assert "**kurtosis** · made up" in text and "unit: " in text


def test_unequal_runs_carry_a_caveat(five, app):
    assert "different seeds" in words(app(five.path, "compare"))


def test_a_busy_store_keeps_the_last_frame(five, app, monkeypatch):
    test = app(five.path, "depth")
    before = charts(test)[0].spec

    def busy(*args, **kwargs):
        raise StoreBusy("held by process 1")

    monkeypatch.setattr("depthscope.app.scene._fetch", busy)
    st.cache_data.clear()  # the runs were listed a moment ago
    monkeypatch.setattr("depthscope.app.shell.run_table", busy)
    test.run()
    assert not test.exception
    assert charts(test)[0].spec == before
    assert "Showing the last frame" in words(test)


def test_a_store_that_is_busy_from_the_start_waits(five, app, monkeypatch):
    def busy(*args, **kwargs):
        raise StoreBusy("held by process 1")

    st.cache_data.clear()  # another test may have listed these runs a moment ago
    monkeypatch.setattr("depthscope.app.shell.run_table", busy)
    test = app(five.path, "depth")
    assert not test.exception
    assert "trying again" in words(test)


@pytest.mark.parametrize("page", ["overview", "runs"])
def test_a_store_that_is_removed_while_a_page_is_drawn_says_so(five, app, monkeypatch, page):
    def removed(path, name, *_):
        raise StoreMissing(f"expected a store at {path}, found nothing")

    monkeypatch.setattr("depthscope.app.scene._fetch", removed)
    test = app(five.path, page)
    assert not test.exception
    assert "The store has changed" in test.warning[0].value


def test_a_store_that_disappears_shrinks_or_is_replaced_while_open(tmp_path, app):
    make_store(tmp_path / "s", [SyntheticRun("a", "pre"), SyntheticRun("b", "post")], layers=2, steps=4)
    make_store(tmp_path / "other", [SyntheticRun("c", "lns")], layers=3, steps=4)
    test = app(tmp_path / "s", "depth")
    (tmp_path / "s").rename(tmp_path / "gone")
    test.run()
    assert not test.exception and "There is no store at" in words(test).replace("\\", "")
    (tmp_path / "other").rename(tmp_path / "s")
    test.run()
    assert not test.exception and len(charts(test)) == 2
    assert test.multiselect[0].value == ["c"]


def test_running_runs_are_followed_until_paused(tmp_path, app):
    store = make_store(tmp_path / "store", [SyntheticRun("now", "pre", status="running")], layers=2, steps=3)
    test = app(store.path, "depth")
    assert not test.exception
    assert [toggle.label for toggle in test.sidebar.toggle] == ["Follow live"]
    test.sidebar.toggle[0].set_value(False).run()
    assert not test.exception


def test_a_view_with_every_field_set_survives(five, app):
    view = View(runs=("pre-0", "post-0"), run="post-0", metric="mean_square", site="attn_out", layers=(1,), step=10)
    test = app(five.path, "heatmap", **to_params(replace(view, x="wall_time")))
    assert not test.exception
    assert query(test)["run"] == ["post-0"] and query(test)["site"] == ["attn_out"]
