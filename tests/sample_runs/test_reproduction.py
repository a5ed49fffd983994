"""Claims and verdicts: the rule, the numbers under it, and the page in the docs, which is what the command writes."""

from pathlib import Path

import pandas as pd
import pytest

from depthscope.sample_runs.reproduction import CLAIMS, Claim, Verdict, findings
from depthscope.sample_runs.reproduction.__main__ import main
from depthscope.sample_runs.reproduction.evidence import Measured, Runs
from depthscope.sample_runs.reproduction.looks import (
    deep_blocks_do_more,
    deep_blocks_matter_less,
    grows_exponentially,
    grows_linearly,
    more_even_gradients,
    more_growth,
)
from depthscope.sample_runs.reproduction.losses import lower_loss, no_worse, same_training
from depthscope.sample_runs.reproduction.page import row
from depthscope.sample_runs.reproduction.verdict import larger, larger_by, together
from depthscope.store import Intervention, LayerStats, RunInfo, Scalar, ingest, open_run, open_store

PAGE = Path(__file__).parents[2] / "docs" / "reproduction.md"


LOSS = {0: {"slow": 2.0, "fast": 1.0}, 1: {"slow": 2.0, "fast": 1.97}}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Runs]:
    """Four blocks: `slow` grows by 1 a layer; `fast` doubles, its gradients halve and its last blocks do little.

    Seeds differ in the losses alone. `once` is `slow` with the first seed only.
    """
    store = tmp_path_factory.mktemp("seeds")
    for seed, loss in LOSS.items():
        for name in loss:
            write_run(store, f"{name}-{seed}", name, seed, loss[name])
    write_run(store, "once-0", "once", 0, 2.0, like="slow")
    ingest(store)
    return Runs.by_seed(open_store(store))


def write_run(store: Path, run: str, strategy: str, seed: int, loss: float, like: str = "") -> None:
    variance = {"slow": [1, 2, 3, 4, 5], "fast": [1, 2, 4, 8, 16]}[like or strategy]
    gradient = {"slow": [1, 1, 1, 1], "fast": [8, 4, 2, 1]}[like or strategy]
    skip = {"slow": [1, 0.5, 0.5, 0.5], "fast": [1, 0.5, 0.1, 0.1]}[like or strategy]
    writer = open_run(store, RunInfo(run, strategy=strategy, seed=seed, n_layers=4))
    writer.write(
        *(
            LayerStats(10, "probe", "main", layer, "resid_post", {"variance": value})
            for layer, value in enumerate(variance)
        ),
        *(
            LayerStats(10, "train", "main", layer, "block", {"param_grad_norm": value})
            for layer, value in enumerate(gradient, 1)
        ),
        *(
            Intervention(10, "main", layer, 1, "block", "skip", 3.0, delta, 0.03, 64)
            for layer, delta in enumerate(skip, 1)
        ),
        Scalar(10, "held_out_loss", loss),
    )
    writer.close()


@pytest.fixture
def runs(seeds: list[Runs]) -> Runs:
    return seeds[0]


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
    assert runs.fit("slow")["line"] == pytest.approx(1)
    assert runs.fit("fast")["exponential"] == pytest.approx(1)
    assert runs.gradient_spread("slow") == 0
    assert runs.gradient_spread("fast") == pytest.approx(pd.Series([8, 4, 2, 1]).std(ddof=0) / 3.75)
    assert runs.mean_skip("fast", deep=True) == Measured(pytest.approx(0.1), pytest.approx(0.03 / 2**0.5))
    assert runs.mean_skip("fast", deep=False) == Measured(pytest.approx(0.5), pytest.approx(0.03))


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
        (grows_exponentially("fast"), Verdict.SHOWN),
        (grows_exponentially("slow"), Verdict.OPPOSITE),
        (deep_blocks_matter_less("fast"), Verdict.SHOWN),
        (deep_blocks_matter_less("slow"), Verdict.NOT_SHOWN),
        (deep_blocks_do_more("slow", "fast"), Verdict.SHOWN),
        (deep_blocks_do_more("fast", "slow"), Verdict.OPPOSITE),
        (no_worse("fast", "slow"), Verdict.SHOWN),
        (no_worse("slow", "fast"), Verdict.OPPOSITE),
        (same_training("once", "slow"), Verdict.SHOWN),
        (same_training("fast", "slow"), Verdict.OPPOSITE),
    ],
)
def test_verdicts_on_runs_whose_answer_is_known(runs: Runs, look, verdict) -> None:
    assert look(runs).verdict is verdict


def test_seeds_that_disagree_show_nothing() -> None:
    shown, not_shown, opposite = Verdict
    assert together([shown]) is together([shown] * 3) is shown
    assert together([opposite, opposite]) is opposite
    assert together([shown, not_shown]) is together([shown, opposite]) is together([opposite, not_shown]) is not_shown


def test_every_seed_has_its_own_numbers_and_the_claim_one_verdict(seeds: list[Runs]) -> None:
    growth = Claim("p", "s", "grows", ("fast", "slow"), more_growth("fast", "slow"))
    loss = Claim("p", "s", "is lower", ("fast", "slow"), lower_loss("fast", ("slow",)))
    once = Claim("p", "s", "is even", ("once", "fast"), more_growth("fast", "once"))
    found = findings(seeds, (growth, loss, once))
    assert [finding.verdict for finding in found] == [Verdict.SHOWN, Verdict.NOT_SHOWN, Verdict.SHOWN]
    assert [len(finding.seeds) for finding in found] == [2, 2, 1]
    assert "slow 2.000, 2.000; fast 1.000, 1.970 | slow - fast +1.000, +0.0300 | 2 | **not shown** |" in row(found[1])
    assert "fast / once 3.200 | 1 | **shown** |" in row(found[2])


def test_the_page_in_the_docs_is_what_the_command_writes(tmp_path: Path) -> None:
    assert main(["-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert all(claim.claim in PAGE.read_text(encoding="utf-8") for claim in CLAIMS)
