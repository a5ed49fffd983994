from types import SimpleNamespace

import pytest

from depthscope.app.diagnosis import findings_frame, verdicts
from depthscope.app.evidence import evidence_view
from depthscope.app.view import View

VIEW = View(runs=("a", "b"), step=70, metric="kurtosis", x="tokens")


def finding(**fields):
    base = {"run": "b", "metric": "variance", "site": "resid_post", "phase": "train", "stack": "decoder"}
    return SimpleNamespace(**{**base, "layers": (), "steps": None, **fields})


def test_a_metric_of_layers_is_shown_on_the_heatmap_at_its_onset():
    page, view = evidence_view(finding(layers=tuple(range(2, 25)), steps=(40, 90)), VIEW)
    assert page == "heatmap"
    assert view == View(
        runs=("a", "b"),
        run="b",
        metric="variance",
        stack="decoder",
        phase="train",
        layers=(2, 8, 13, 18, 24),
        step=40,
        x="tokens",
    )


@pytest.mark.parametrize(
    ("metric", "page"), [("loss", "compare"), ("config", "compare"), ("massive", "massive"), ("all", "depth")]
)
def test_other_evidence_has_its_own_page(metric, page):
    found, view = evidence_view(finding(metric=metric, site=""), VIEW)
    assert (found, view.run, view.metric, view.site) == (page, "b", "kurtosis", "resid_post")


@pytest.mark.parametrize(
    ("metric", "page"), [("skip_loss", "effectiveness"), ("prune_set", "effectiveness"), ("near_zero", "sparsity")]
)
def test_held_out_evidence_is_shown_at_its_evaluation_without_a_choice_of_batch(metric, page):
    found, view = evidence_view(finding(metric=metric, site="block", phase="probe", steps=(30, 60)), VIEW)
    assert (found, view.run, view.step, view.phase) == (page, "b", 30, "auto")


def test_the_frame_is_worst_first_and_gives_each_run_its_verdict(five):
    frame = findings_frame(five, ["pre-0", "lns-0", "post-0"])
    order = ["critical", "warning", "info", "ok"]
    assert frame["severity"].map(order.index).is_monotonic_increasing
    assert frame.loc[0, "run"] == "lns-0"
    found = verdicts(frame)
    assert found["lns-0"] == "critical" and set(found) == {"pre-0", "lns-0", "post-0"}


def test_no_run_has_no_finding(five):
    assert findings_frame(five, []).empty
    assert "sentence" in findings_frame(five, []).columns
