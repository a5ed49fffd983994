"""From a finding to the page and the view that show what it rests on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .figures.layer_series import spread
from .view import View

__all__ = ["evidence_view"]

ELSEWHERE = {
    "massive": "massive",
    "loss": "compare",
    "lr": "compare",
    "tokens": "compare",
    "config": "compare",
    "norm_placement": "depth",
    "all": "depth",
    "skip_loss": "effectiveness",
    "prune_set": "effectiveness",
    "sparsity": "sparsity",
    "near_zero": "sparsity",
}
"""Pages for evidence that is no metric of a layer; everything else is a cut of the heatmap."""

HELD_OUT = ("effectiveness", "sparsity")
"""Pages whose batches are always the held-out ones."""

FOLLOWED = 5
"""Layers followed over time at most: more lines than that cannot be told apart."""


def evidence_view(finding: Any, view: View) -> tuple[str, View]:
    """The page that shows the evidence of a row of `findings_frame`, and the view to open it with."""
    page = ELSEWHERE.get(finding.metric, "heatmap")
    at = replace(view, run=finding.run, stack=finding.stack, zoom=())
    if page == "compare" or finding.metric == "all":
        return page, replace(at, step=None)
    if page in HELD_OUT:
        return page, replace(at, step=_onset(finding.steps))
    at = replace(at, phase=finding.phase, step=_onset(finding.steps))
    if page != "heatmap":
        return page, at
    layers = spread(tuple(finding.layers), FOLLOWED)
    return page, replace(at, metric=finding.metric, site=finding.site or view.site, layers=layers)


def _onset(steps: Sequence[int] | None) -> int | None:
    """The step at which it began; None: the newest."""
    return steps[0] if steps else None
