"""Claims and verdicts: the rule, the numbers under it, and the page in the docs, which is what the command writes."""

from pathlib import Path

import pandas as pd
import pytest

from depthscope.sample_runs.reproduction import CLAIMS, Verdict
from depthscope.sample_runs.reproduction.__main__ import main
from depthscope.sample_runs.reproduction.claims import grows_linearly, lower_loss, more_even_gradients, more_growth
from depthscope.sample_runs.reproduction.evidence import Runs
from depthscope.sample_runs.reproduction.verdict import larger, larger_by
from depthscope.store import Intervention, LayerStats, RunInfo, Scalar, ingest, open_run, open_store

PAGE = Path(__file__).parents[2] / "docs" / "reproduction.md"


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Four blocks: `slow` grows by 1 a layer; `fast` doubles, its gradients halve and its last blocks do little."""
    variance = {"slow": [1, 2, 3, 4, 5], "fast": [1, 2, 4, 8, 16]}
    gradient = {"slow": [1, 1, 1, 1], "fast": [8, 4, 2, 1]}
    skip = {"slow": [1, 0.5, 0.5, 0.5], "fast": [1, 0.5, 0.1, 0.1]}
    loss = {"slow": 2.0, "fast": 1.0}
    for name in variance:
        writer = open_run(tmp_path, RunInfo(name, strategy=name, n_layers=4))
        writer.write(
            *(
                LayerStats(10, "probe", "main", layer, "resid_post", {"variance": value})
                for layer, value in enumerate(variance[name])
            ),
            *(
                LayerStats(10, "train", "main", layer, "block", {"param_grad_norm": value})
                for layer, value in enumerate(gradient[name], 1)
            ),
            *(
                Intervention(10, "main", layer, 1, "block", "skip", 3.0, delta, 0.03, 64)
                for layer, delta in enumerate(skip[name], 1)
            ),
            Scalar(10, "held_out_loss", loss[name]),
        )
        writer.close()
    ingest(tmp_path)
    return Runs.of(open_store(tmp_path))


def test_the_rule_has_three_outcomes() -> None:
    assert [larger(1.2, 1.0), larger(1.05, 1.0), larger(1.0, 1.2)] == [
        Verdict.SHOWN,
        Verdict.NOT_SHOWN,
        Verdict.OPPOSITE,
    ]
    assert [larger_by(0.3, 0.2), larger_by(-0.1, 0.2), larger_by(-0.3, 0.2)] == [
        Verdict.SHOWN,
        Verdict.NOT_SHOWN,
        Verdict.OPPOSITE,
    ]


def test_numbers_by_hand(runs: Runs) -> None:
    assert runs.growth("slow") == pytest.approx(2.5)
    assert runs.growth("fast") == pytest.approx(8)
    assert runs.fit("slow").linear == pytest.approx(1)
    assert runs.fit("fast").exponential == pytest.approx(1)
    assert runs.gradient_spread("slow") == 0
    assert runs.gradient_spread("fast") == pytest.approx(pd.Series([8, 4, 2, 1]).std(ddof=0) / 3.75)
    assert runs.mean_skip("fast", deep=True) == pytest.approx((0.1, 0.03 / 2**0.5))
    assert runs.mean_skip("fast", deep=False) == pytest.approx((0.5, 0.03))


@pytest.mark.parametrize(
    ("look", "verdict"),
    [
        (more_growth("fast", "slow"), Verdict.SHOWN),
        (more_growth("slow", "fast"), Verdict.OPPOSITE),
        (more_growth("slow", "slow"), Verdict.NOT_SHOWN),
        (more_even_gradients("slow", ("fast",)), Verdict.SHOWN),
        (more_even_gradients("fast", ("slow",)), Verdict.OPPOSITE),
        (lower_loss("fast", ("slow",)), Verdict.SHOWN),
        (lower_loss("fast", ("slow", "fast")), Verdict.NOT_SHOWN),
        (lower_loss("slow", ("fast",)), Verdict.OPPOSITE),
        (grows_linearly("slow"), Verdict.SHOWN),
        (grows_linearly("fast"), Verdict.OPPOSITE),
    ],
)
def test_verdicts_on_runs_whose_answer_is_known(runs: Runs, look, verdict) -> None:
    assert look(runs).verdict is verdict


def test_the_page_in_the_docs_is_what_the_command_writes(tmp_path: Path) -> None:
    assert main(["-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert all(claim.claim in PAGE.read_text(encoding="utf-8") for claim in CLAIMS)
