"""A run as named series of numbers over steps: what tools without a depth axis understand."""

import math
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from depthscope.store import DepthscopeError, Store

__all__ = ["Row", "empty_folder", "run_folders", "series_rows"]

Row = tuple[int, float, dict[str, float]]
"""(step, wall time in seconds, values by name such as 'train/resid_post/variance/main/layer_03')."""

_KEYS = ("run", "step", "phase", "stack", "layer", "site")


def series_rows(store: Store, run: str) -> Iterator[Row]:
    """Every step of a run in order, with its own numbers and those of its layers; what was not measured is left out."""
    layers: dict[int, dict[str, float]] = {}
    for row in store.layer_stats(runs=[run]).to_dict("records"):
        at = layers.setdefault(row["step"], {})
        at.update({_tag(row, name): value for name, value in row.items() if name not in _KEYS and _is_there(value)})
    for row in store.scalars(runs=[run]).to_dict("records"):
        if _is_there(row["value"]):
            layers.setdefault(row["step"], {})[f"logged/{row['name']}"] = row["value"]
    wall = 0.0
    for row in store.steps(runs=[run]).to_dict("records"):
        wall = row["wall_time"]
        own = {f"step/{n}": float(v) for n, v in row.items() if n not in ("run", "step", "wall_time") and _is_there(v)}
        yield row["step"], wall, {**own, **layers.pop(row["step"], {})}
    for step, values in sorted(layers.items()):  # a probe batch may be measured at a step that was never closed
        yield step, wall, values


def _tag(row: Mapping[Hashable, Any], metric: Hashable) -> str:
    layer = f"layer_{int(row['layer']):03d}" if _is_there(row["layer"]) else "all"
    return f"{row['phase']}/{row['site']}/{metric}/{row['stack']}/{layer}"


def _is_there(value: Any) -> bool:
    """Infinity is a measurement; pandas' NA and NaN mean that there is none."""
    return isinstance(value, int | float) and not math.isnan(value)


def empty_folder(folder: Path) -> Path:
    """`folder`, made. Raises DepthscopeError when it holds something."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DepthscopeError(f"expected a new folder to export to, {folder} is there already; choose another")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_folders(folder: Path, runs: list[str]) -> dict[str, Path]:
    """A folder for each run inside `folder`, named by its number and what of its name is safe in a path."""
    return {run: folder / f"{i:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', run)[:80]}" for i, run in enumerate(runs, 1)}
