"""What the diagnoses read of one run: a few small frames, already cut to the newest sampled steps."""

import math
from dataclasses import dataclass, field

import pandas as pd

__all__ = ["Losses", "RunFrames", "by_step", "layer_range"]


def _empty(*columns: str) -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype="float64") for column in columns})


@dataclass(frozen=True)
class Losses:
    """The logged losses of a run, skipped steps left out."""

    count: int = 0
    first: float = math.nan
    last: float = math.nan
    first_bad: int | None = None
    """First and last step whose loss is NaN or Inf."""
    last_bad: int | None = None


@dataclass(frozen=True)
class RunFrames:
    """One stack of one run. Every frame may be empty: then nothing is said about it.

    `stream`, `blocks`, `gradients` and `massive` hold the newest few sampled steps, oldest first; `nonfinite` and
    `losses` cover the whole run.
    """

    run: str
    strategy: str | None = None
    stack: str = "main"
    phase: str = "train"
    """Of `stream`, `blocks` and `massive`: 'probe' where the run has it, else 'train'. Gradients are always 'train'."""
    n_layers: int = 0
    last_step: int | None = None
    """Newest sampled step, of either phase."""
    sampled: int = 0
    """Number of sampled steps, of the phase with more of them."""
    stream: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "variance"))
    """Site resid_post, layers 0..L."""
    blocks: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "block_influence", "angular_distance"))
    """Site block, layers 1..L."""
    gradients: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "param_grad_norm"))
    """Site block, layers 1..L."""
    massive: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "layer", "rank", "value", "median_abs", "count", "token", "channel")
    )
    """The three largest activations of each block output."""
    nonfinite: pd.DataFrame = field(
        default_factory=lambda: _empty("what", "site", "layer", "phase", "first_step", "last_step", "total")
    )
    """One row a quantity ('activation' or 'gradient'), site, layer and phase that ever was NaN or Inf."""
    losses: Losses = Losses()


def by_step(frame: pd.DataFrame, column: str) -> list[tuple[int, pd.Series]]:
    """(step, values indexed by layer) of each step, oldest first; layers without a finite value are left out."""
    values = frame[["step", "layer", column]].astype({"step": "int64", "layer": "int64", column: "float64"})
    finite = values[values[column].abs() < float("inf")]  # NaN compares false
    groups = finite.dropna().sort_values(["step", "layer"]).groupby("step")
    return [(int(str(step)), group.set_index(group["layer"].astype(int))[column]) for step, group in groups]


def layer_range(layers: tuple[int, ...]) -> str:
    """'layer 7', 'layers 7–12', 'layers 1, 3, 9' or, of many scattered ones, 'layers 1, 3, 9, … 40 (17 in all)'."""
    if len(layers) == 1:
        return f"layer {layers[0]}"
    if layers[-1] - layers[0] == len(layers) - 1:
        return f"layers {layers[0]}–{layers[-1]}"
    if len(layers) <= 6:
        return "layers " + ", ".join(map(str, layers))
    first = ", ".join(map(str, layers[:3]))
    return f"layers {first}, … {layers[-1]} ({len(layers)} in all)"
