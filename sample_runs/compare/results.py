"""What became of a recipe: read back from the store, found by its configuration, not by its name."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from depthscope.store import Store

from ..recipes import Recipe

__all__ = ["Result", "read_results"]


@dataclass(frozen=True)
class Result:
    """One run that has ended by itself; None where the store has no such number."""

    recipe: Recipe
    run: str
    diverged: bool
    final_loss: float
    """Held-out loss at the last step, nats a byte; NaN where diverged."""
    best_loss: float
    growth_slope: float | None
    """Per block, of the law that fits the stream's variance over blocks 2 to L better."""
    growth_law: str
    gradient_skew: float | None
    """Mean parameter gradient norm of the deeper half of blocks 2 to L over that of the other, last sampled step."""
    kurtosis: float | None
    """Largest over the blocks, of the stream."""
    deep_skip: float | None
    """Held-out nats that skipping one block of the deeper half costs on average, with the last weights."""
    step_seconds: float | None
    """Median, beside the runs that trained at the same time."""


def read_results(store: Store, recipes: Sequence[Recipe]) -> dict[Recipe, Result]:
    """A result for each recipe that has been trained to its end; the newest where there are several."""
    wanted = {_key(asdict(recipe)): recipe for recipe in recipes}
    rows = store.runs()
    found: dict[Recipe, Result] = {}
    for row in rows.sort_values("started_at").to_dict("records"):
        config = json.loads(row["config"]) if isinstance(row["config"], str) else {}
        recipe = wanted.get(_key(config))
        if recipe is not None and row["status"] == "finished":
            found[recipe] = _result(store, recipe, str(row["run"]))
    return found


def _key(config: Mapping[str, Any]) -> str:
    """The recipe's fields in a form that can be looked up; what else a configuration holds does not count."""
    return json.dumps({name: config.get(name) for name in sorted(Recipe.__dataclass_fields__)}, sort_keys=True)


def _result(store: Store, recipe: Recipe, run: str) -> Result:
    losses = store.scalars(runs=[run], name="held_out_loss").sort_values("step")["value"].to_numpy(float)
    diverged = any(str(text).startswith("diverged") for text in store.events(runs=[run])["text"])
    variance = _profile(store, run, "resid_post", "probe", "variance")
    law, slope = growth(variance)
    return Result(
        recipe=recipe,
        run=run,
        diverged=diverged,
        final_loss=math.nan if diverged or not len(losses) else float(losses[-1]),
        best_loss=math.nan if not np.isfinite(losses).any() else float(np.nanmin(losses)),
        growth_slope=slope,
        growth_law=law,
        gradient_skew=skew(_profile(store, run, "block", "train", "param_grad_norm")),
        kurtosis=_largest(_profile(store, run, "resid_post", "probe", "kurtosis")),
        deep_skip=deep_skip(store.interventions(runs=[run], action="skip", site="block")),
        step_seconds=_step_seconds(store.steps(runs=[run], columns=["wall_time"])),
    )


def _profile(store: Store, run: str, site: str, phase: str, column: str) -> "pd.Series[float]":
    """The newest value of each block, indexed by layer from 1."""
    rows = store.layer_stats(runs=[run], site=site, phase=phase, columns=[column])
    rows = rows[rows["layer"].notna() & (rows["layer"] >= 1) & rows[column].notna()]
    newest = rows[rows["step"] == rows["step"].max()]
    return newest.set_index("layer")[column].sort_index().astype(float)


def growth(variance: "pd.Series[float]") -> tuple[str, float | None]:
    """Which law fits blocks 2 to L better, and its slope a block.

    'exponential' only where log(variance) is the straighter line and rises by more than 0.05 a block.
    """
    deep = variance[variance.index >= 2]
    if len(deep) < 3 or not np.isfinite(deep).all() or (deep <= 0).any():
        return "", None
    layers = deep.index.to_numpy(float)
    linear, straight = fit(layers, deep.to_numpy(float))
    rate, log_straight = fit(layers, np.log(deep.to_numpy(float)))
    if log_straight > straight and rate > 0.05:
        return "exponential", rate
    return "linear", linear


def fit(x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]") -> tuple[float, float]:
    """Slope and R^2 of a straight line; R^2 is 1 for a constant."""
    slope, base = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    missed = float(((y - slope * x - base) ** 2).sum())
    return float(slope), 1 - missed / spread if spread > 0 else 1.0


def skew(gradients: "pd.Series[float]") -> float | None:
    values = gradients[gradients.index >= 2].to_numpy(float)
    half = len(values) // 2
    if half == 0 or not np.isfinite(values).all() or values[:half].sum() == 0:
        return None
    return float(values[-half:].sum() / values[:half].sum())


def deep_skip(rows: pd.DataFrame) -> float | None:
    """Of the newest single blocks skipped; None where none was."""
    single = rows[rows["span"] == 1]
    newest = single[single["step"] == single["step"].max()]
    deep = newest[newest["layer"] > newest["layer"].max() // 2]["delta"]
    return float(deep.mean()) if len(deep) else None


def _largest(values: "pd.Series[float]") -> float | None:
    return float(values.max()) if len(values) else None


def _step_seconds(steps: pd.DataFrame) -> float | None:
    """Steps whose row came right after the one before; the median ignores the ones that also evaluated."""
    ordered = steps.sort_values("step")
    seconds = pd.to_numeric(ordered["wall_time"], errors="coerce").diff()
    known = seconds[(ordered["step"].diff() == 1) & seconds.notna()]
    return float(known.median()) if len(known) else None
