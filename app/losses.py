"""The losses of a row of `run_table`, in which "never logged" and NaN look the same."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

__all__ = ["last_loss", "lowest_loss"]


def lowest_loss(row: Mapping[Any, Any]) -> float | None:
    """The lowest loss; None where no loss is a number."""
    return None if pd.isna(row["min_loss"]) else float(row["min_loss"])


def last_loss(row: Mapping[Any, Any]) -> float | None:
    """The newest loss; NaN where it is NaN, None where none was logged (or none ever was a number)."""
    return None if lowest_loss(row) is None and pd.isna(row["last_loss"]) else float(row["last_loss"])
