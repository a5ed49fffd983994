import pytest

from depthscope.app.view import View, from_params, to_params

FULL = View(
    runs=("a b", "c&d=<e>"),
    run="a b",
    metric="kurtosis",
    site="attn_out",
    stack="decoder",
    phase="train",
    layers=(0, 12),
    step=0,
    x="tokens",
    zoom=(1.25, 3e12),
    scale="log",
    baseline="a b",
    search="pre seed",
    depth="relative",
)


def test_a_view_survives_the_url():
    assert from_params(to_params(FULL)) == FULL
    assert from_params({}) == View()


def test_defaults_are_left_out():
    assert to_params(View()) == {}
    assert to_params(View(x="tokens")) == {"x": ["tokens"]}
    assert to_params(View(step=0)) == {"step": ["0"]}


def test_bad_values_are_dropped():
    bad = {
        "x": ["parsecs"],
        "step": ["-1"],
        "layers": ["1", "x", "³", "2", "1"],
        "phase": [""],
        "scale": [],
        "unknown": ["1"],
        "metric": ["any name is looked up later"],
    }
    assert from_params(bad) == View(layers=(1, 2), metric="any name is looked up later")
    assert from_params({"step": ["9" * 400]}) == View()


@pytest.mark.parametrize(
    "ends", [["1"], ["2", "1"], ["1", "1"], ["1", "x"], ["1", "nan"], ["1", "inf"], ["1", "1e999"], ["1", "2", "3"]]
)
def test_what_is_no_stretch_is_no_zoom(ends):
    assert from_params({"zoom": ends}) == View()
    assert from_params({"zoom": ["-1", "2.5"]}) == View(zoom=(-1.0, 2.5))


def test_focus_is_a_run_on_screen():
    assert View(runs=("a", "b"), run="b").focus == "b"
    assert View(runs=("a", "b"), run="gone").focus == "a"
    assert View().focus == ""


def test_keep_forgets_the_rest():
    assert FULL.keep(("metric", "runs")) == View(runs=FULL.runs, metric="kurtosis")
