"""The rows that travel from a training process to the store: the contract between probes and store.

Each record is one row of the table its `table` names (see schema.sql for units). `None` is SQL NULL, "not measured
here"; NaN and Inf are values and are stored as such. `stack` is 'main' unless the model has several (encoder, decoder,
towers); `phase` is 'train' for training forwards and 'probe' for the fixed held-out batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = [
    "Distance",
    "Event",
    "Intervention",
    "Layer",
    "LayerEffect",
    "LayerStats",
    "Massive",
    "Metric",
    "Record",
    "RunInfo",
    "Scalar",
    "SparsityLayer",
    "SparsityPoint",
    "Step",
]


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run. May be written again at any time: a field that is not None replaces the earlier one."""

    table: ClassVar[str] = "runs"

    run: str
    strategy: str | None = None
    group_name: str | None = None
    model: str | None = None
    n_layers: int | None = None
    n_params: int | None = None
    seed: int | None = None
    data_id: str | None = None
    config: Mapping[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    world_size: int | None = None
    environment: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Layer:
    """One block of the model; layer 0 is the stream as it enters block 1."""

    table: ClassVar[str] = "layers"

    stack: str
    layer: int
    name: str
    kind: str
    n_params: int
    norm_placement: str
    shared: bool = False


@dataclass(frozen=True)
class Metric:
    """A measured quantity: becomes a column of layer_stats and a line of the dashboard's Help."""

    table: ClassVar[str] = "metrics"

    name: str
    unit: str
    title: str
    formula: str
    source: str
    reduction: str


@dataclass(frozen=True)
class LayerStats:
    """The metrics of one site of one layer at one step; `layer` is None for embed, final_norm and head."""

    table: ClassVar[str] = "layer_stats"

    step: int
    phase: str
    stack: str
    layer: int | None
    site: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Massive:
    """One of the three largest activations of a block output (rank 1 is the largest).

    `median_abs` is over the sequence it lies in; `count` is the layer's number of activations that are massive by the
    rule |x| > 100 and |x| >= 1000 median|x| (Massive Activations, arXiv 2402.17762).
    """

    table: ClassVar[str] = "massive"

    step: int
    phase: str
    stack: str
    layer: int
    rank: int
    value: float
    median_abs: float
    count: int
    sequence: int
    token: int
    channel: int


@dataclass(frozen=True)
class Step:
    """One optimizer step; step k is the forward and backward on weights after k updates."""

    table: ClassVar[str] = "steps"

    step: int
    wall_time: float
    tokens: int | None = None
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    clip_factor: float | None = None
    loss_scale: float | None = None
    skipped: bool = False
    sampled: bool = False


@dataclass(frozen=True)
class Scalar:
    """Anything else the user logs by name."""

    table: ClassVar[str] = "scalars"

    step: int
    name: str
    value: float


@dataclass(frozen=True)
class Event:
    """Something that happened at a step: `kind` is a short word (resume, phase, warning, dropped), `text` is prose."""

    table: ClassVar[str] = "events"

    step: int
    kind: str
    text: str


@dataclass(frozen=True)
class Intervention:
    """Held-out loss (nats a token) with blocks skipped, branches zeroed or blocks repeated (Skip a layer or loop it).

    `action`: skip, zero, repeat, or prune_set (several blocks removed at once: `span` is how many, `site` the ranking
    that chose them). `layer` is the first block, `span` the number of blocks, `site` block, attn_out or mlp_out.
    `delta` is the loss minus that of the untouched model on the same tokens, `delta_se` its paired standard error,
    clustered by sequence.
    """

    table: ClassVar[str] = "interventions"

    step: int
    stack: str
    layer: int | None
    span: int
    site: str
    action: str
    loss: float
    delta: float
    delta_se: float
    tokens: int


@dataclass(frozen=True)
class Distance:
    """Angular distance in [0, 1] between the input of block `layer` and the output `span` blocks later (2403.17887)."""

    table: ClassVar[str] = "distances"

    step: int
    stack: str
    layer: int
    span: int
    angular_distance: float


@dataclass(frozen=True)
class LayerEffect:
    """A number of one layer (`later_layer` None), of a pair of layers, or of the whole stack (`layer` None)."""

    table: ClassVar[str] = "layer_effects"

    step: int
    stack: str
    layer: int | None
    later_layer: int | None
    measure: str
    value: float


@dataclass(frozen=True)
class SparsityPoint:
    """Held-out loss (nats a token) at one sparsity in [0, 1] (Essential Sparsity, NeurIPS 2023).

    `definition` names what was pruned and how the loss was measured; `pattern` is unstructured or N:M, N kept of M;
    `scope` global or matrix; `ranking` magnitude, wanda or random; `weights` current or init (the control).
    `loss_se` is the paired standard error of the difference to this curve's loss at sparsity 0, clustered by sequence.
    """

    table: ClassVar[str] = "sparsity"

    step: int
    definition: str
    pattern: str
    scope: str
    ranking: str
    weights: str
    sparsity: float
    loss: float
    loss_se: float
    tokens: int


@dataclass(frozen=True)
class SparsityLayer:
    """Of one weight matrix: the fraction of |w| below `threshold`, or the share pruned at a global sparsity of it.

    `layer` None and `matrix` 'all' for all matrices of a stack together.
    """

    table: ClassVar[str] = "sparsity_layers"

    step: int
    stack: str
    layer: int | None
    matrix: str
    threshold: float
    near_zero: float | None = None
    pruned_share: float | None = None


Record = (
    RunInfo
    | Layer
    | Metric
    | LayerStats
    | Massive
    | Step
    | Scalar
    | Event
    | Intervention
    | Distance
    | LayerEffect
    | SparsityPoint
    | SparsityLayer
)
