"""`depthscope runs`: one row a run."""

import json
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from depthscope.store import Store, run_table

from ..losses import last_loss, lowest_loss
from ..text import plain
from .output import console, count, number, to_json

__all__ = ["FIELDS", "runs_json", "show_runs"]

# The documented fields of `depthscope runs --json`. Add at the end; never rename, never drop.
FIELDS = (
    "run",
    "strategy",
    "group_name",
    "status",
    "model",
    "n_layers",
    "n_params",
    "seed",
    "data_id",
    "tags",
    "config",
    "started_at",
    "heartbeat_at",
    "ended_at",
    "first_step",
    "last_step",
    "tokens",
    "last_loss",
    "min_loss",
    "nonfinite",
    "world_size",
    "environment",
)

STATUS_STYLES = {"running": "green", "finished": "", "failed": "bold red", "interrupted": "yellow", "stalled": "yellow"}
NUMERIC = ("Layers", "Params", "Step", "Tokens", "Loss", "Lowest", "NaN/Inf")


def runs_json(store: Store) -> str:
    """The runs of a store as a JSON list of objects with FIELDS."""
    return to_json([fields(row) for row in run_table(store).to_dict("records")])


def fields(row: dict[Any, Any]) -> dict[str, Any]:
    values = {name: missing_as_none(row.get(name)) for name in FIELDS}
    for name in ("config", "environment"):
        values[name] = json.loads(text) if isinstance(text := values[name], str) else None
    return values | {"last_loss": last_loss(row), "min_loss": lowest_loss(row)}


def missing_as_none(value: Any) -> Any:
    """`value`, with integers that became floats because other runs have none made integers again."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def show_runs(store: Store) -> None:
    """Print the runs of a store as a table."""
    rows = run_table(store).to_dict("records")
    if not rows:
        console().print(f"No runs yet in {store.path}.", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("Run", overflow="fold", min_width=12)
    for title in ("Strategy", "Status", *NUMERIC, "Started (UTC)"):
        table.add_column(title, justify="right" if title in NUMERIC else "left", no_wrap=title != "Strategy")
    for row in rows:
        table.add_row(*cells(row))
    console().print(table)


def cells(row: dict[Any, Any]) -> list[Text]:
    nonfinite = int(missing_as_none(row["nonfinite"]) or 0)
    started = missing_as_none(row["started_at"])
    status = str(row["status"])
    return [
        Text(plain(row["run"]), style="bold"),
        Text(plain(row["strategy"] or "")),
        Text(status, style=STATUS_STYLES.get(status, "")),
        Text(count(row["n_layers"])),
        Text(count(row["n_params"])),
        Text(count(row["last_step"])),
        Text(count(row["tokens"])),
        Text(number(last_loss(row))),
        Text(number(lowest_loss(row))),
        Text(f"{nonfinite:,}", style="bold red" if nonfinite else "dim"),
        Text(f"{started:%Y-%m-%d %H:%M}" if started else "", style="dim"),
    ]
