"""What runs can be exported to: one file a format, and a line here."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from depthscope.store import Store, export_runs

from .csv import export_csv
from .tensorboard import export_tensorboard
from .wandb import export_wandb

__all__ = ["EXPORTERS", "Target"]


class Target(StrEnum):
    """What runs can be exported to."""

    parquet = "parquet"
    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"


EXPORTERS: dict[Target, Callable[[Store, Sequence[str], Path], object]] = {
    Target.parquet: export_runs,
    Target.csv: export_csv,
    Target.tensorboard: export_tensorboard,
    Target.wandb: export_wandb,
}
