"""The rows that travel from a training process to the store: the contract between probes and store.

Each record is one row of the table its `table` names (see schema.sql for units). `None` is SQL NULL, "not measured
here"; NaN and Inf are values and are stored as such. `stack` is 'main' unless the model has several (encoder, decoder,
towers); `phase` is 'train' for training forwards and 'probe' for the fixed held-out batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = ["Event", "Layer", "LayerStats", "Massive", "Metric", "Record", "RunInfo", "Scalar", "Step"]


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


Record = RunInfo | Layer | Metric | LayerStats | Massive | Step | Scalar | Event
