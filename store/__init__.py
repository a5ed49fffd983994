"""Numbers of training runs: written by training processes, folded into DuckDB, read as frames.

Needs neither torch nor streamlit. The names below are the face; everything else may change.
"""

from .active import average_parameters, running_average
from .bundle import export_runs, import_bundle
from .compact import Compacted, compact
from .doctor import Check, check_store, repair_store
from .dropping import dropping_points, knee, last_within
from .edit import remove_runs, rename_run
from .errors import (
    BundleInvalid,
    DepthscopeError,
    NetworkFileSystem,
    NotAStore,
    RunMissing,
    RunNameTaken,
    RunRunning,
    SchemaTooOld,
    StoreBusy,
    StoreMissing,
    StoreTooNew,
)
from .ingest import IngestResult, ingest, start_ingest
from .jumps import abrupt_sparsification, largest_jump
from .layout import default_store
from .queries import depth_profile, layer_series, layer_step, metric_sites, run_table, sampled_steps, series
from .reader import Store, open_store
from .records import (
    Distance,
    Event,
    Intervention,
    Layer,
    LayerEffect,
    LayerStats,
    Massive,
    Metric,
    Record,
    RunInfo,
    Scalar,
    SparsityLayer,
    SparsityPoint,
    Step,
)
from .spool import RunWriter, open_run
from .targets.deliver import Delivery, deliver
from .targets.follow import follow
from .targets.tidy import compact_lake
from .targets.url import target_url

__all__ = [
    "BundleInvalid",
    "Check",
    "Compacted",
    "Delivery",
    "DepthscopeError",
    "Distance",
    "Event",
    "IngestResult",
    "Intervention",
    "Layer",
    "LayerEffect",
    "LayerStats",
    "Massive",
    "Metric",
    "NetworkFileSystem",
    "NotAStore",
    "Record",
    "RunInfo",
    "RunMissing",
    "RunNameTaken",
    "RunRunning",
    "RunWriter",
    "Scalar",
    "SchemaTooOld",
    "SparsityLayer",
    "SparsityPoint",
    "Step",
    "Store",
    "StoreBusy",
    "StoreMissing",
    "StoreTooNew",
    "abrupt_sparsification",
    "average_parameters",
    "check_store",
    "compact",
    "compact_lake",
    "default_store",
    "deliver",
    "depth_profile",
    "dropping_points",
    "export_runs",
    "follow",
    "import_bundle",
    "ingest",
    "knee",
    "largest_jump",
    "last_within",
    "layer_series",
    "layer_step",
    "metric_sites",
    "open_run",
    "open_store",
    "remove_runs",
    "rename_run",
    "repair_store",
    "run_table",
    "running_average",
    "sampled_steps",
    "series",
    "start_ingest",
    "target_url",
]
