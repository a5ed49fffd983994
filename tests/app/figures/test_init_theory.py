import pandas as pd
import pytest

from depthscope.app.figures.init_theory import INIT_THEORY, init_theory_info
from depthscope.app.theme import LIGHT
from depthscope.app.view import View


def frame(strategy, values, step=0):
    rows = [("a", strategy, step, layer, value) for layer, value in enumerate(values)]
    columns = ["run", "strategy", "step", "layer", "value"]
    return pd.DataFrame(rows, columns=columns).assign(
        phase="train", metric="mean_square", title="Mean square", unit="activation^2", site="resid_post"
    )


@pytest.mark.parametrize(
    ("strategy", "values", "law"),
    [
        ("post", [0.5, 1.0, 1.0], (1.0, 1.0, 1.0)),
        ("deepnorm", [0.5, 1.0, 1.0], (1.0, 1.0, 1.0)),
        ("peri", [0.5, 2.0, 4.0], (0.5, 2.5, 4.5)),
        ("pre", [1.0, 3.0, 5.0], (1.0, 3.0, 5.0)),
        ("lns", [1.0, 3.0, 4.0], (1.0, 3.0, 4.0)),  # 1 + 2·H_l
    ],
)
def test_the_law_of_a_strategy(strategy, values, law):
    (line,) = init_theory_info(frame(strategy, values), View(runs=("a",))).laws
    assert line.y == pytest.approx(law)
    assert line.label.startswith(f"theory, {strategy}: ")


@pytest.mark.parametrize("strategy", ["mix", "unknown", "<b>"])
def test_a_strategy_without_a_law_has_no_line(strategy):
    info = init_theory_info(frame(strategy, [1.0, 2.0, 3.0]), View(runs=("a",)))
    assert info.laws == () and len(info.measured.lines) == 1


def test_the_law_is_drawn_dotted_without_markers():
    figure = INIT_THEORY.draw(init_theory_info(frame("post", [1.0, 2.0]), View(runs=("a",))), LIGHT)
    assert [(trace.mode, trace.line.dash) for trace in figure.data] == [("lines+markers", "solid"), ("lines", "dot")]
