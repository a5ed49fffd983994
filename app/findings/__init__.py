"""Diagnoses of a run: pure functions of a few small frames, one file each, gathered in FINDINGS.

Adding one is a file with a `CHECK` and a line below; it then shows in `depthscope diagnose` and in the report.
"""

from collections.abc import Sequence

from depthscope.store import Store

from . import (
    abrupt_sparsification,
    absorption,
    batch_fluctuation,
    curse_of_depth,
    dead_layers,
    essential_sparsity,
    gradient_flow,
    gradient_skew,
    half_precision,
    healthy,
    heavy_tails,
    idle_blocks,
    lns_scaled_init,
    loss_spike,
    massive_activations,
    nonfinite,
    removable_blocks,
    strategy_mismatch,
    undertrained,
    variance_explosion,
    variance_growth,
    warmup,
)
from .collect import collect
from .comparison import comparison_caveats
from .finding import NOTHING, SEVERITIES, Check, Confidence, Evidence, Finding, Severity
from .frames import RunFrames, layer_range
from .thresholds import THRESHOLDS, BadThresholds, Thresholds, read_thresholds

__all__ = [
    "FINDINGS",
    "NOTHING",
    "SEVERITIES",
    "THRESHOLDS",
    "BadThresholds",
    "Check",
    "Confidence",
    "Evidence",
    "Finding",
    "RunFrames",
    "Severity",
    "Thresholds",
    "collect",
    "comparison_caveats",
    "diagnose",
    "diagnose_runs",
    "layer_range",
    "read_thresholds",
]

FINDINGS: dict[str, Check] = {
    check.name: check
    for check in (
        nonfinite.CHECK,
        loss_spike.CHECK,
        variance_explosion.CHECK,
        gradient_flow.CHECK,
        dead_layers.CHECK,
        variance_growth.CHECK,
        curse_of_depth.CHECK,
        idle_blocks.CHECK,
        removable_blocks.CHECK,
        gradient_skew.CHECK,
        massive_activations.CHECK,
        heavy_tails.CHECK,
        half_precision.CHECK,
        absorption.CHECK,
        essential_sparsity.CHECK,
        abrupt_sparsification.CHECK,
        batch_fluctuation.CHECK,
        strategy_mismatch.CHECK,
        lns_scaled_init.CHECK,
        warmup.CHECK,
        undertrained.CHECK,
        healthy.CHECK,
    )
}


def diagnose(frames: RunFrames, limits: Thresholds = THRESHOLDS) -> list[Finding]:
    """Every finding of one stack of one run, worst first; `healthy` only when nothing else warns."""
    found = [finding for check in FINDINGS.values() if (finding := check.run(frames, limits))]
    if any(finding.severity in ("critical", "warning") for finding in found):
        found = [finding for finding in found if finding.name != healthy.CHECK.name]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def diagnose_runs(store: Store, runs: Sequence[str], limits: Thresholds = THRESHOLDS) -> dict[str, list[Finding]]:
    """The findings of each of `runs`, over all its stacks. Raises RunMissing for a name the store does not have."""
    found: dict[str, list[Finding]] = {run: [] for run in runs}
    for frames in collect(store, runs, limits):
        found[frames.run] += diagnose(frames, limits)
    return found
