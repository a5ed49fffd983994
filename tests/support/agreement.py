"""Compare what a probe measures on somebody's model with what the model says of itself."""

from dataclasses import dataclass
from pathlib import Path

import torch
from families import Family
from torch import Tensor, nn

from depthscope.probes import Sites, watch
from depthscope.store import open_store

__all__ = ["Agreement", "compare"]


@dataclass(frozen=True)
class Agreement:
    """Sites that were found, and the largest relative error of the stream's mean square over `compared` layers."""

    sites: Sites
    error: float
    compared: int


def compare(family: Family, store: Path) -> Agreement:
    """Train `family`'s model for one step with a rate of zero, and compare every layer that it gives a state of."""
    model = family.build().eval()
    with torch.no_grad():
        states = family.states(model, family.arguments)
    model.train()
    without_dropout(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, store=store, run="r", every=1) as probe:
        first_gradient(model(**family.arguments)).square().mean().backward()
        optimizer.step()
    stats = open_store(store).layer_stats(runs=["r"], site="resid_post", phase="train", columns=["mean_square"])
    measured = {(row.stack, row.layer): row.mean_square for row in stats.itertuples()}
    expected = {
        (stack, layer): state.double().square().mean().item()
        for stack, each in states.items()
        for layer, state in each.items()
    }
    errors = [abs(measured[key] / value - 1) for key, value in expected.items()]
    return Agreement(probe.sites, max(errors), len(errors))


def first_gradient(output: object) -> Tensor:
    """A tensor of a model's output that has a gradient."""
    tensors = (output,) if isinstance(output, Tensor) else output.to_tuple()
    return next(t for t in tensors if isinstance(t, Tensor) and t.requires_grad)


def without_dropout(model: nn.Module) -> None:
    """In training mode as in eval mode; some families keep the probability as a number of their own."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
        for name in ("p", "dropout", "attention_dropout", "activation_dropout", "dropout_p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
