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


def test_focus_is_a_run_on_screen():
    assert View(runs=("a", "b"), run="b").focus == "b"
    assert View(runs=("a", "b"), run="gone").focus == "a"
    assert View().focus == ""


def test_keep_forgets_the_rest():
    assert FULL.keep(("metric", "runs")) == View(runs=FULL.runs, metric="kurtosis")
