"""Small models and a fresh store for the probe tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from depthscope.sample_runs import build_model
from depthscope.store import Store, open_store


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model() -> nn.Module:
    return build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def read(store_path: Path) -> Callable[[], Store]:
    return lambda: open_store(store_path)
