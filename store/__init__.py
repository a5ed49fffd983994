"""Numbers of training runs: written by training processes, folded into DuckDB, read as frames.

Needs neither torch nor streamlit. The names below are the face; everything else may change.
"""

from .bundle import export_runs, import_bundle
from .compact import Compacted, compact
from .doctor import Check, check_store, repair_store
from .edit import remove_runs, rename_run
from .errors import (
    BundleInvalid,
    DepthscopeError,
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

__all__ = [
    "BundleInvalid",
    "Check",
    "Compacted",
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
    "NotAStore",
    "Record",
    "RunInfo",
    "RunMissing",
    "RunNameTaken",
    "RunRunning",
    "RunWriter",
    "Scalar",
    "SparsityLayer",
    "SparsityPoint",
    "SchemaTooOld",
    "Step",
    "Store",
    "StoreBusy",
    "StoreMissing",
    "StoreTooNew",
    "check_store",
    "compact",
    "default_store",
    "depth_profile",
    "export_runs",
    "import_bundle",
    "ingest",
    "layer_series",
    "layer_step",
    "metric_sites",
    "open_run",
    "open_store",
    "remove_runs",
    "rename_run",
    "repair_store",
    "run_table",
    "sampled_steps",
    "series",
    "start_ingest",
]
