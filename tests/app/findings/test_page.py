"""The page of the documentation agrees with the code."""

import dataclasses
from pathlib import Path

from depthscope.app.findings import FINDINGS, Thresholds
from depthscope.app.findings.page import page

PAGE = Path(__file__).parents[3] / "docs" / "findings.md"


def test_the_page_is_the_one_the_code_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m depthscope.app.findings.page > docs/findings.md"


def test_every_finding_and_every_threshold_is_on_it():
    text = page()
    assert all(f"## {check.title}\n\n`{check.name}`:" in text for check in FINDINGS.values())
    assert all(f"| `{field.name}` |" in text for field in dataclasses.fields(Thresholds))


def test_rules_are_whole_phrases():
    for check in FINDINGS.values():
        assert not check.source.endswith(".") and check.about.endswith("?"), check.name
