"""Held-out measurements of every family whose blocks `watch` finds."""

from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import nn

from depthscope.probes.interventions import Listener, Task, as_holdout, chosen_kinds, evaluate, found_sites
from depthscope.probes.tensors import tensors_in
from depthscope.store import DepthscopeError, Distance, Intervention, LayerEffect

ADDED_OUTSIDE = ["lists of attention and MLP", "branches added outside the blocks"]


def size_of_output(model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    """A loss that every model has."""
    output = model(**batch)
    tensors = tensors_in(dict(output) if hasattr(output, "items") else output)
    # Weighted, because a plain mean is the same after every final norm.
    sizes = [
        (t.double() * torch.linspace(-1, 1, t.shape[-1])).mean() for t in tensors if t.is_floating_point() and t.dim()
    ]
    return torch.stack(sizes).sum()


def traces(model: nn.Module) -> list[tuple[bool, int, int]]:
    """What an evaluation could leave behind."""
    return [("forward" in vars(m), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ADDED_OUTSIDE])
def test_every_block_is_skipped_repeated_and_measured(name):
    def failed(kind: str, error: Exception) -> None:
        raise error

    model = FAMILIES[name].build().eval()
    before = traces(model)
    holdout = as_holdout(FAMILIES[name].arguments, size_of_output)
    blocks = {(b.stack, b.layer) for b in found_sites(model, holdout).blocks}
    kinds = chosen_kinds("skip,zero,repeat,distances,later,jacobian")
    rows = evaluate(model, Task(holdout, kinds, step=0), Listener(failed=failed))
    for action in ("skip", "repeat"):
        changed = [r for r in rows if isinstance(r, Intervention) and r.action == action]
        assert {(r.stack, r.layer) for r in changed} == blocks
        assert any(r.delta != 0 for r in changed)
    assert any(isinstance(r, Distance) and 0 < r.angular_distance < 1 for r in rows)
    measures = {r.measure for r in rows if isinstance(r, LayerEffect)}
    assert {"later_effect", "loop_tolerance"} <= measures
    assert measures & {"jacobian_identity", "jacobian_identity_differences"}
    assert before == traces(model)


@pytest.mark.parametrize("name", ADDED_OUTSIDE)
def test_models_that_add_up_their_stream_outside_the_blocks_are_refused(name):
    model = FAMILIES[name].build()
    holdout = as_holdout(FAMILIES[name].arguments, size_of_output)
    with pytest.raises(DepthscopeError, match="outside of its blocks"):
        evaluate(model, Task(holdout, chosen_kinds("skip"), step=0), Listener())
