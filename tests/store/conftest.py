"""Stores to test on. No writer starts an ingest by itself: it would take time and make the outcome depend on it."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def started() -> Iterator[mock.Mock]:
    """Stands for start_ingest wherever the writer would call it."""
    with mock.patch("depthscope.store.spool.start_ingest") as start:
        yield start


@pytest.fixture
def quick() -> Iterator[None]:
    """Writers that flush as soon as there is something to write."""
    with mock.patch.multiple("depthscope.store.spool", _TICK=0.005, _INTERVAL=0.01, _LONGEST_INTERVAL=0.05):
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store of a test is to be."""
    return tmp_path / "runs"
