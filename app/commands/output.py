"""Terminal and JSON output that every command shares."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import Progress

__all__ = ["console", "count", "jsonable", "number", "progress_bar", "to_json"]

# Nothing is cut when the output goes to a file or another program.
PIPE_WIDTH = 180


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table where there is none."""
    found = Console(highlight=False)
    return found if found.is_terminal or os.environ.get("COLUMNS") else Console(highlight=False, width=PIPE_WIDTH)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is gone when the work is done; nothing where standard error is no terminal.

    Gives a function to call with how much is done, of how much.
    """
    err = Console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def to_json(value: Any) -> str:
    """`value` as indented JSON that every parser reads."""
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)


def jsonable(value: Any) -> Any:
    """`value` in JSON's types: missing is null, times are ISO 8601 in UTC, and NaN and Inf are the strings 'NaN',
    'Infinity' and '-Infinity', because JSON has no numbers for them and dropping them would hide a broken run."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [jsonable(item) for item in value]
    if hasattr(value, "tolist"):  # numpy
        return jsonable(value.tolist())
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + ("" if value.tzinfo else "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def number(value: float | None) -> str:
    """`value` with four digits for people; '' where there is none, NaN and Inf said as such."""
    if value is None:
        return ""
    return f"{value:.4f}" if math.isfinite(value) else f"{value}".replace("nan", "NaN").replace("inf", "Inf")


def count(value: float | None) -> str:
    """A large count in three digits: 999, 12.3k, 1.50M, 7.10B."""
    if value is None or pd.isna(value):
        return ""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.0f}"
