"""What is advised names the paper that says so, and the report can cite each."""

import math
from pathlib import Path

import pandas as pd
import pytest
from finding_frames import BLOCKS, by_layer, find, frames, layers_of

from depthscope.app import findings
from depthscope.app.findings import RunFrames
from depthscope.app.report.papers import KNOWN, papers_in


def dead() -> RunFrames:
    rows = by_layer("param_grad_norm", lambda layer: 0.0 if layer == 5 else 1.0, BLOCKS)
    return frames(gradients=rows.assign(param_norm=1.0, update_ratio=math.nan))


def absorbed() -> RunFrames:
    return frames(branches=by_layer("branch_ratio", lambda layer: 1e-3, BLOCKS).assign(site="mlp_out"))


def mislabelled() -> RunFrames:
    return frames(strategy="deepnorm", layers=layers_of("output", "output"))


@pytest.mark.parametrize(
    ("name", "data", "papers"),
    [
        ("dead_layers", dead(), {"1903.06733", "2003.04887"}),
        ("absorption", absorbed(), {"2010.06192"}),
        ("strategy_mismatch", mislabelled(), {"2203.00555", "2501.00656"}),
        ("undertrained", frames(last_step=50), {"2203.15556", "2306.03805"}),
    ],
)
def test_it_names_its_papers(name, data, papers):
    finding = find(name, data)
    assert finding.severity != "ok" and set(papers_in([finding.advice])) == papers


def test_a_placement_that_no_paper_describes_is_named_without_one():
    finding = find("strategy_mismatch", frames(strategy="none", layers=layers_of("pre", "pre")))
    assert "described in Xiong et al., arXiv 2002.04745)" in finding.advice


def test_the_same_paper_is_not_named_twice():
    finding = find("strategy_mismatch", frames(strategy="post", layers=layers_of("pre", "pre")))
    assert finding.advice.count("2002.04745") == 1


def test_every_paper_that_a_finding_may_name_can_be_cited():
    named = papers_in(path.read_text(encoding="utf-8") for path in Path(findings.__file__).parent.glob("*.py"))
    assert len(named) > 10 and set(named) <= set(KNOWN)


def test_keys_are_unique_and_names_are_given_first_name_first():
    papers = pd.Series([paper.key for paper in KNOWN.values()])
    assert papers.is_unique and list(KNOWN) == sorted(KNOWN)
    assert all(paper.title and paper.authors and "," not in "".join(paper.authors) for paper in KNOWN.values())
