import pandas as pd

from depthscope.app.figures.depth_profile import depth_profile_figure, depth_profile_info
from depthscope.app.figures.frames import compared_phase, followed_phase
from depthscope.app.figures.lines import Line, Lines
from depthscope.app.theme import DARK
from depthscope.app.view import View

FRAME = pd.DataFrame(
    {
        "run": ["a", "a", "a", "b", "b"],
        "strategy": ["pre", "pre", "pre", None, None],
        "step": [90, 90, 90, 100, 100],
        "layer": [2, 0, 1, 0, 1],
        "value": [100.0, 1.0, 10.0, 1.0, 1.0],
        "phase": "probe",
        "metric": "variance",
        "title": "Variance",
        "unit": "activation²",
        "site": "resid_post",
    }
)


def test_one_line_a_run_over_its_layers():
    assert depth_profile_info(FRAME, View(runs=("a", "b"))) == Lines(
        lines=(
            Line("a", "pre", (0.0, 1.0, 2.0), (1.0, 10.0, 100.0)),
            Line("b", "unknown", (0.0, 1.0), (1.0, 1.0)),
        ),
        x_title="Layer",
        y_title="Variance, block output (activation²)",
        log=True,
        about="Measured on the held-out probe batch at steps 90 to 100, which differ between runs.",
    )


def test_a_tiny_embedding_does_not_squeeze_the_blocks():
    info = depth_profile_info(FRAME.assign(value=[100.0, 1e-6, 10.0, 1e-6, 50.0]), View(runs=("a", "b")))
    assert not info.log  # the blocks span one decade, and on a linear axis the embedding is near enough
    assert info.y_range is None
    info = depth_profile_info(FRAME.assign(value=[100.0, 1e-6, 10.0, 1e-6, 50.0]), View(runs=("a", "b"), scale="log"))
    assert info.y_range is not None and 5 < info.y_range[0] < 10 and 100 < info.y_range[1] < 120
    assert info.note.endswith("Values before layer 1 lie outside the axis.")
    low, high = depth_profile_figure(info, DARK).layout.yaxis.range
    assert 0.5 < low < 1 and 2 < high < 2.1  # powers of ten


def test_axes_carry_titles_and_units():
    figure = depth_profile_figure(depth_profile_info(FRAME, View(runs=("a", "b"))), DARK)
    assert figure.layout.yaxis.title.text == "Variance, block output (activation²)"
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.title.text == "Layer"
    assert figure.layout.template.layout.paper_bgcolor == DARK.paper


def test_nothing_measured_gives_a_sentence():
    figure = depth_profile_figure(depth_profile_info(FRAME.iloc[:0], View(runs=("a",))), DARK)
    assert not figure.data and len(figure.layout.annotations) == 1


def frame(*runs):
    return pd.DataFrame({"run": list(runs)})


def test_comparisons_use_the_probe_batch_only_where_every_run_has_it():
    both = {"probe": frame("a", "b"), "train": frame("a", "b")}
    some = {"probe": frame("a"), "train": frame("a", "b")}
    none = {"probe": frame(), "train": frame()}
    assert set(compared_phase("auto", "ab", both.get)["phase"]) == {"probe"}
    assert set(compared_phase("auto", "ab", some.get)["phase"]) == {"train"}
    assert compared_phase("auto", "ab", none.get).empty


def test_a_wish_that_no_run_can_meet_gives_the_other_batch():
    gradients = {"probe": frame(), "train": frame("a")}
    assert set(compared_phase("probe", "a", gradients.get)["phase"]) == {"train"}
    assert set(followed_phase("probe", gradients.get)["phase"]) == {"train"}
    assert set(followed_phase("auto", {"probe": frame("a"), "train": frame()}.get)["phase"]) == {"probe"}
