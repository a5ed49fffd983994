"""What the tests of interventions share."""

import pytest
import torch
from torch import nn

from depthscope.sample_runs import build_model


@pytest.fixture
def ids_BT() -> torch.Tensor:
    return torch.randint(64, (6, 12), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def deep() -> nn.Module:
    """Six blocks with weights large enough that every block matters."""
    model = build_model("pre", layers=6, width=32, heads=2, vocab=64, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model
