"""Diagnoses of a run: pure functions of a few small frames, one file each, gathered in FINDINGS.

Adding one is a file with a `CHECK` and a line below; it then shows in `depthscope diagnose` and in the report.
"""

from collections.abc import Sequence

from depthscope.store import Store

from . import gradient_skew, healthy, massive_activations, near_identity, nonfinite, variance_growth
from .collect import collect
from .finding import SEVERITIES, Check, Confidence, Evidence, Finding, Severity
from .frames import RunFrames
from .thresholds import THRESHOLDS, Thresholds

__all__ = [
    "FINDINGS",
    "SEVERITIES",
    "THRESHOLDS",
    "Check",
    "Confidence",
    "Evidence",
    "Finding",
    "RunFrames",
    "Severity",
    "Thresholds",
    "collect",
    "diagnose",
    "diagnose_runs",
]

FINDINGS: dict[str, Check] = {
    check.name: check
    for check in (
        nonfinite.CHECK,
        variance_growth.CHECK,
        gradient_skew.CHECK,
        near_identity.CHECK,
        massive_activations.CHECK,
        healthy.CHECK,
    )
}


def diagnose(frames: RunFrames) -> list[Finding]:
    """Every finding of one stack of one run, worst first; `healthy` only when nothing else warns."""
    found = [finding for check in FINDINGS.values() if (finding := check.run(frames))]
    if any(finding.severity in ("critical", "warning") for finding in found):
        found = [finding for finding in found if finding.name != healthy.NAME]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def diagnose_runs(store: Store, runs: Sequence[str]) -> dict[str, list[Finding]]:
    """The findings of each of `runs`, over all its stacks. Raises RunMissing for a name the store does not have."""
    found: dict[str, list[Finding]] = {run: [] for run in runs}
    for frames in collect(store, runs):
        found[frames.run] += diagnose(frames)
    return found
