"""A store with more strategies than colours, in Streamlit's own test runner."""

import json

import pytest
from streamlit.testing.v1 import AppTest
from synthetic import SyntheticRun, make_store

from depthscope.app.figures.crowd import BRIGHT, GREY, MOST
from depthscope.app.theme import strategy_style

STRATEGIES = ("pre", "post", "peri", "mix", "lns", "deepnorm", "qk", "keel", "gpas", "dyt")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    runs = [SyntheticRun(f"{name}-0", name) for name in STRATEGIES]
    return make_store(tmp_path_factory.mktemp("many") / "store", runs, layers=3, steps=4)


@pytest.fixture
def page(many, monkeypatch):
    monkeypatch.setenv("DEPTHSCOPE_STORE", str(many.path))

    def start(name, **query):
        test = AppTest.from_string(f"from depthscope.app.shell import shell\nshell({name!r})", default_timeout=180)
        test.query_params["runs"] = [f"{strategy}-0" for strategy in STRATEGIES]
        for key, value in query.items():
            test.query_params[key] = value
        return test.run()

    return start


def coloured(test, nth=0):
    """Names of the traces of a chart that are not grey."""
    charts = [json.loads(json.loads(element.proto.json)["spec"]) for element in test.get("bidi_component")]
    return [trace["name"] for trace in charts[nth]["data"] if trace["line"]["color"] != GREY]


def chosen(test):
    return next(box for box in test.sidebar.multiselect if box.label == "In colour")


def test_the_first_few_strategies_are_in_colour_and_each_has_a_panel(page):
    test = page("depth")
    assert not test.exception
    assert chosen(test).value == list(STRATEGIES[:BRIGHT])
    assert coloured(test) == [f"{name}-0" for name in STRATEGIES[:BRIGHT]]
    assert "Strategy by strategy" in [heading.value for heading in test.subheader]
    assert "bright" not in test.query_params


def test_a_choice_of_colours_goes_with_the_address(page):
    test = page("depth")
    chosen(test).set_value(["dyt", "qk"]).run()
    assert coloured(test) == ["qk-0", "dyt-0"]
    assert sorted(test.query_params["bright"]) == ["dyt", "qk"]
    again = page("compare", bright=["qk", "dyt"])
    assert (not again.exception and chosen(again).value == ["dyt", "qk"]) or chosen(again).value == ["qk", "dyt"]


def test_a_few_runs_need_no_choice(page):
    test = page("depth", runs=["pre-0", "dyt-0"])
    assert [box.label for box in test.sidebar.multiselect] == ["Runs"]
    assert len(STRATEGIES) > MOST
    assert coloured(test) == ["pre-0", "dyt-0"]


def test_strategies_of_ours_have_colours_of_their_own():
    colours = [strategy_style(name).colour for name in STRATEGIES]
    assert len(set(colours)) == len(colours)
