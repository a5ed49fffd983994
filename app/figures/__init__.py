"""The figures, one file each. A new figure is a new file and a line here; the order is the order in the report.

record = FIGURES["loss"].record(store, view)
FIGURES["loss"].draw(record, THEMES["light"]) -> plotly figure; .table(record) -> DataFrame; .alt(record) -> str
"""

from .caveats import comparison_caveats
from .depth_profile import DEPTH_PROFILE
from .init_theory import INIT_THEORY
from .layer_series import LAYER_SERIES
from .layer_step import LAYER_STEP
from .loss import LOSS
from .massive import MASSIVE
from .record import AnyFigure, AnyTable, Drawn, Figure, Table
from .seed_groups import SEED_GROUPS
from .strategy_profiles import STRATEGY_PROFILES
from .summary import SUMMARY

__all__ = ["FIGURES", "TABLES", "AnyFigure", "AnyTable", "Drawn", "Figure", "Table", "comparison_caveats"]

FIGURES: dict[str, AnyFigure] = {
    figure.name: figure
    for figure in (LOSS, STRATEGY_PROFILES, DEPTH_PROFILE, LAYER_STEP, LAYER_SERIES, MASSIVE, INIT_THEORY, SEED_GROUPS)
}

TABLES: dict[str, AnyTable] = {table.name: table for table in (SUMMARY,)}
