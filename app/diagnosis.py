"""The findings as a frame, which pages fetch, cache and keep like every other frame; and the verdict of a run."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from depthscope.store import Store

from .findings import FINDINGS, SEVERITIES, Evidence, Finding, diagnose_runs

__all__ = ["findings_frame", "verdicts"]

_EVIDENCE = [field.name for field in dataclasses.fields(Evidence)]
_OWN = [field.name for field in dataclasses.fields(Finding) if field.name != "evidence"]


def findings_frame(store: Store, runs: Sequence[str]) -> pd.DataFrame:
    """One row a finding, worst first: the fields of Finding and of its Evidence. Raises RunMissing, StoreBusy.

    Among equals the order is that of FINDINGS, then that of `runs`: the same trouble of several runs stands together.
    """
    found = [finding for findings in diagnose_runs(store, list(runs)).values() for finding in findings]
    rows = [_row(finding) for finding in sorted(found, key=_rank)]
    return pd.DataFrame(rows, columns=[*_OWN, *_EVIDENCE])


def _row(finding: Finding) -> dict[str, object]:
    own = {name: getattr(finding, name) for name in _OWN}
    return own | {name: getattr(finding.evidence, name) for name in _EVIDENCE}


def _rank(finding: Finding) -> tuple[int, int]:
    return SEVERITIES.index(finding.severity), list(FINDINGS).index(finding.name)


def verdicts(findings: pd.DataFrame) -> dict[str, str]:
    """Run -> the worst severity among its findings; runs without any are left out."""
    worst = findings.drop_duplicates("run")  # the frame is worst first
    return dict(zip(worst["run"], worst["severity"], strict=True))
