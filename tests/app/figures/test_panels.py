import pandas as pd

from depthscope.app.figures import FIGURES, TABLES
from depthscope.app.figures.caveats import comparison_caveats
from depthscope.app.figures.massive import massive_info
from depthscope.app.figures.strategy_profiles import strategy_profiles_info
from depthscope.app.figures.summary import summary_info, summary_table
from depthscope.app.theme import LIGHT
from depthscope.app.view import View

VIEW = View(runs=("a", "b"))


def profile(metric, site, phase, values, run="a", strategy="pre"):
    return pd.DataFrame(
        {
            "run": run,
            "strategy": strategy,
            "step": 5,
            "layer": range(1, len(values) + 1),
            "value": values,
            "phase": phase,
            "metric": metric,
            "title": metric.title(),
            "unit": "",
            "site": site,
        }
    )


def test_profiles_say_which_batch_each_panel_shows():
    frame = pd.concat(
        [
            profile("variance", "resid_post", "probe", [1.0, 2.0]),
            profile("param_grad_norm", "block", "train", [3.0, 4.0]),
        ]
    )
    info = strategy_profiles_info(frame, VIEW)
    assert [panel.y_title for panel in info.panels] == ["Variance, block output", "Param_Grad_Norm, whole block"]
    assert info.note == "Variance: the held-out probe batch at step 5. Param_Grad_Norm: training batches at step 5."


def test_a_run_has_one_legend_entry_for_all_panels():
    frame = pd.concat(
        [
            profile("variance", "resid_post", "probe", [1.0, 2.0]),
            profile("block_influence", "block", "probe", [3.0, 4.0]),
            profile("block_influence", "block", "probe", [3.0, 4.0], run="b", strategy="post"),
        ]
    )
    figure = FIGURES["strategy_profiles"].draw(strategy_profiles_info(frame, VIEW), LIGHT)
    assert [(trace.name, trace.xaxis, trace.showlegend) for trace in figure.data] == [
        ("a", None, True),
        ("b", "x2", True),
        ("a", "x2", False),
    ]
    table = FIGURES["strategy_profiles"].table(strategy_profiles_info(frame, VIEW))
    assert len(table) == 4


def massive_frame(count):
    return pd.DataFrame(
        {
            "run": "a",
            "strategy": "pre",
            "step": 7,
            "layer": [1, 2],
            "top": [10.0, 400.0],
            "median_abs": [1.0, 0.0],
            "count": [0, count],
            "phase": "train",
        }
    )


def test_massive_activations_are_counted_by_the_papers_rule():
    quiet, loud = massive_info(massive_frame(0), VIEW), massive_info(massive_frame(2), VIEW)
    assert quiet.note.startswith("No activation is massive")
    assert loud.note.startswith("1 layer has massive activations")
    assert quiet.panels[2].lines[0].nonfinite == (2.0,)  # no ratio to a median of zero
    assert massive_info(massive_frame(0).iloc[:0], VIEW).empty


def test_summary_of_known_growth():
    frame = pd.concat(
        [
            profile("variance", "resid_post", "probe", [1.0 + 2 * n for n in range(1, 9)]),
            profile("param_grad_norm", "block", "train", [1.0] * 4 + [3.0] * 4),
            profile("kurtosis", "resid_post", "probe", [3.0, 9.0]),
        ]
    ).assign(loss=1.5)
    info = summary_info(frame, VIEW)
    (row,) = info.rows
    assert (row.run, row.strategy, row.step, row.loss, row.gradient_ratio, row.kurtosis) == (
        "a",
        "pre",
        5,
        1.5,
        3.0,
        9.0,
    )
    assert row.growth.word == "linear" and round(row.growth.linear.slope, 9) == 2
    assert list(summary_table(info)["Strategy"]) == ["pre"]
    assert summary_info(frame.iloc[:0], VIEW).empty


def test_summary_without_kurtosis_and_gradients():
    info = summary_info(profile("variance", "resid_post", "train", [1.0]).assign(loss=float("nan")), VIEW)
    assert summary_table(info)["Growth"].tolist() == [""]


def test_caveats_name_what_differs():
    same = pd.DataFrame(
        {"data_id": ["x", "x"], "tokens": [10, 10], "seed": [0, 0], "n_layers": [4, 4], "last_step": [9, 9]}
    )
    assert comparison_caveats(same) == ()
    told = comparison_caveats(same.assign(data_id=["x", "y"], tokens=[10, 2000], seed=[0, 1], n_layers=[4, 8]))
    assert len(told) == 4
    assert told[1] == "The runs have seen different numbers of tokens (10 to 2,000)."
    assert comparison_caveats(same.assign(seed=[0, None])) == ()


def test_every_table_and_figure_is_listed_under_its_name():
    for listed in (FIGURES, TABLES):
        for name, each in listed.items():
            assert each.name == name and each.caption.endswith(".") and each.title


def test_nan_is_marked_in_its_own_panel():
    frame = pd.concat(
        [
            profile("variance", "resid_post", "probe", [1.0, float("nan")]),
            profile("block_influence", "block", "probe", [float("inf"), 4.0]),
        ]
    )
    info = strategy_profiles_info(frame, VIEW)
    assert info.note.endswith(
        "Variance, block output; Block_Influence, whole block: Red triangles mark 1 NaN or Inf value."
    )
    broken = [trace for trace in FIGURES["strategy_profiles"].draw(info, LIGHT).data if trace.name == "NaN or Inf"]
    assert [(list(t.x), t.xaxis, t.yaxis, t.showlegend) for t in broken] == [
        ([2.0], "x", "y91", True),
        ([1.0], "x2", "y92", False),
    ]
