"""What the diagnoses read of one run: a few small frames, most of them already cut to the newest sampled steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

__all__ = [
    "Losses",
    "Rates",
    "RunFrames",
    "by_step",
    "highest",
    "in_backward_order",
    "in_forward_order",
    "layer_range",
    "lowest",
]


# The order values are computed in within a block, to name the first that broke.
FORWARD_ORDER = ("attn_raw", "attn_out", "resid_mid", "mlp_raw", "mlp_out", "resid_sum", "resid_post")
# The order gradients of parameters are computed in; between the final norm and the embedding from layer to layer down.
BACKWARD_ORDER = ("head", "final_norm", "mlp", "attn", "block", "embed")


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
    last_step: int | None = None
    """Newest step of the run with a loss."""


@dataclass(frozen=True)
class Rates:
    """The logged learning rates of a run."""

    count: int = 0
    first_step: int = 0
    first: float = math.nan
    peak: float = math.nan
    peak_step: int = 0
    """First step at the peak."""


@dataclass(frozen=True)
class RunFrames:
    """One stack of one run. Every frame may be empty: then nothing is said about it.

    `stream`, `blocks`, `branches`, `gradients` and `massive` hold the newest few sampled steps, oldest first; `peaks`,
    `nonfinite`, `losses` and `spikes` cover the whole run.
    """

    run: str
    strategy: str | None = None
    stack: str = "main"
    phase: str = "train"
    """Of `stream`, `blocks`, `branches` and `massive`: 'probe' where the run has it, else 'train'. `gradients` and
    `peaks` are always 'train'."""
    n_layers: int = 0
    n_params: int | None = None
    tokens: int | None = None
    """Trained on so far."""
    dtype: str = ""
    """Of the parameters, as torch calls it: 'float32', 'bfloat16', ...; '' when not known."""
    config: Mapping[str, str] = field(default_factory=dict)
    """The run's configuration, nested keys dotted, values as JSON."""
    last_step: int | None = None
    """Newest sampled step, of either phase."""
    sampled: int = 0
    """Number of sampled steps, of the phase with more of them."""
    layers: pd.DataFrame = field(default_factory=lambda: _empty("layer", "norm_placement", "n_params"))
    stream: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "layer", "variance", "variance_median", "kurtosis")
    )
    """Site resid_post, layers 0..L."""
    extremes: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "site", "abs_max"))
    """Every measured site."""
    branches: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "site", "branch_ratio"))
    """Sites attn_out and mlp_out, layers 1..L."""
    blocks: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "block_influence", "angular_distance"))
    """Site block, layers 1..L."""
    gradients: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "layer", "param_grad_norm", "param_norm", "update_ratio")
    )
    """Site block, layers 1..L; a gradient is NaN where no parameter of the block has one."""
    massive: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "layer", "rank", "value", "median_abs", "count", "token", "channel")
    )
    """The three largest activations of each block output."""
    peaks: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "abs_max", "variance", "variance_layer", "gradient", "gradient_layer")
    )
    """One row a sampled step: the largest finite value over the layers, and the layer that has it."""
    histories: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "metric", "value"))
    """variance and param_grad_norm of each layer up to the step at which the largest of them surges; none where it does
    not."""
    nonfinite: pd.DataFrame = field(
        default_factory=lambda: _empty(
            "what", "site", "layer", "phase", "first_step", "last_step", "total", "last_clean"
        )
    )
    """One row a quantity ('activation' or 'gradient'), site, layer and phase that ever was NaN or Inf; `last_clean` is
    the newest sampled step of that phase before the first bad one, NaN when there is none."""
    counted: bool = True
    """Whether non-finite activations were counted at all."""
    losses: Losses = Losses()
    rates: Rates = Rates()
    spikes: pd.DataFrame = field(default_factory=lambda: _empty("step", "loss", "median", "mad"))
    """Losses far above the median of up to 25 before them, the furthest ones, oldest first; `mad` is their median
    absolute deviation."""
    around: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "metric", "value"))
    """variance and param_grad_norm of each layer at the sampled steps up to the first after the worst of `spikes`."""
    skips: pd.DataFrame = field(default_factory=lambda: _empty("step", "layer", "loss", "delta", "delta_se", "tokens"))
    """Held-out loss without single blocks, at the newest evaluations, oldest first."""
    removals: pd.DataFrame = field(
        default_factory=lambda: _empty("step", "ranking", "span", "loss", "delta", "delta_se")
    )
    """Held-out loss with `span` blocks removed together, at the newest evaluation."""
    drops: pd.DataFrame = field(
        default_factory=lambda: _empty(
            "step", "scope", "ranking", "weights", "definition", "sparsity", "loss", "reached"
        ).astype({"definition": "str"})
    )
    """`dropping_points` of the newest curves, of all stacks together."""
    jumps: pd.DataFrame = field(
        default_factory=lambda: _empty("evaluations", "threshold", "from_step", "step", "near_zero", "increase", "z")
    )
    """The largest rise of the share of near-zero weights, a row a threshold; NaN where there was none."""
    fluctuation: pd.DataFrame = field(default_factory=lambda: _empty("step", "distance", "layer", "site"))
    """Batch norms: the largest distance of batch variances over the layers, a row a sampled step."""


def by_step(frame: pd.DataFrame, column: str) -> list[tuple[int, pd.Series]]:
    """(step, values indexed by layer) of each step, oldest first; layers without a finite value are left out."""
    if column not in frame:
        return []
    values = frame[column].to_numpy(dtype="float64", na_value=math.nan)
    finite = np.isfinite(values)
    steps, layers, values = frame["step"].to_numpy()[finite], frame["layer"].to_numpy()[finite], values[finite]
    order = np.lexsort((layers, steps))
    steps, layers, values = steps[order].astype("int64"), layers[order].astype("int64"), values[order]
    ends = [0, *(np.flatnonzero(np.diff(steps)) + 1), len(steps)]
    parts = [(slice(start, end), int(steps[start])) for start, end in pairwise(ends) if end > start]
    return [(step, pd.Series(values[part], pd.Index(layers[part], name="layer"), name=column)) for part, step in parts]


def in_forward_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `layer` and `site` in the order a forward computes them; what has no layer comes last."""
    place = [FORWARD_ORDER.index(site) if site in FORWARD_ORDER else -1 for site in rows["site"]]
    keyed = rows.assign(_depth=rows["layer"].astype("float64").fillna(math.inf), _place=place)
    return keyed.sort_values(["_depth", "_place"], kind="stable").drop(columns=["_depth", "_place"])


def in_backward_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of gradients in the order a backward computes them: the head, the layers from the last one down, the
    embedding."""
    place = [BACKWARD_ORDER.index(site) if site in BACKWARD_ORDER else len(BACKWARD_ORDER) for site in rows["site"]]
    height = rows["layer"].astype("float64").where(rows["site"] != "embed", -1.0).fillna(math.inf)
    keyed = rows.assign(_depth=-height, _place=place)
    return keyed.sort_values(["_depth", "_place"], kind="stable").drop(columns=["_depth", "_place"])


def highest(values: pd.Series) -> int:
    """The layer with the largest value, the first of several; `values` are finite and indexed by layer."""
    return int(values.index[int(np.argmax(values.to_numpy(dtype=float)))])


def lowest(values: pd.Series) -> int:
    """The layer with the smallest value."""
    return highest(-values)


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
