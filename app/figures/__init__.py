"""The figures, one file each. A new figure is a new file and a line here; the order is the order in the report.

record = FIGURES["loss"].record(store, view)
FIGURES["loss"].draw(record, THEMES["light"]) -> plotly figure; .table(record) -> DataFrame; .alt(record) -> str
"""

from .caveats import comparison_caveats
from .depth_grid import DEPTH_GRID
from .depth_profile import DEPTH_PROFILE
from .difference import DIFFERENCE
from .dropping import DROPPING
from .effectiveness import EFFECTIVENESS
from .grad_norm import GRAD_NORM
from .init_theory import INIT_THEORY
from .later_effects import LATER_EFFECTS
from .layer_cost import LAYER_COST
from .layer_measures import LAYER_MEASURES
from .layer_series import LAYER_SERIES
from .layer_step import LAYER_STEP
from .loss import LOSS
from .masks import MASKS
from .massive import MASSIVE
from .near_zero import NEAR_ZERO
from .pruned_shares import PRUNED_SHARES
from .pruning_curve import PRUNING_CURVE
from .record import AnyFigure, AnyTable, Drawn, Figure, Table
from .seed_groups import SEED_GROUPS
from .skip_cost import SKIP_COST
from .skip_over_time import SKIP_OVER_TIME
from .spans import SPANS
from .sparsity_curve import SPARSITY_CURVE
from .sparsity_patterns import SPARSITY_PATTERNS
from .strategy_profiles import STRATEGY_PROFILES
from .summary import SUMMARY

__all__ = ["FIGURES", "TABLES", "AnyFigure", "AnyTable", "Drawn", "Figure", "Table", "comparison_caveats"]

FIGURES: dict[str, AnyFigure] = {
    figure.name: figure
    for figure in (
        LOSS,
        GRAD_NORM,
        STRATEGY_PROFILES,
        DEPTH_PROFILE,
        DEPTH_GRID,
        LAYER_STEP,
        LAYER_SERIES,
        MASSIVE,
        INIT_THEORY,
        SEED_GROUPS,
        DIFFERENCE,
        SKIP_COST,
        LAYER_COST,
        LAYER_MEASURES,
        SPANS,
        PRUNING_CURVE,
        LATER_EFFECTS,
        SKIP_OVER_TIME,
        SPARSITY_CURVE,
        SPARSITY_PATTERNS,
        PRUNED_SHARES,
        NEAR_ZERO,
        MASKS,
    )
}

TABLES: dict[str, AnyTable] = {table.name: table for table in (SUMMARY, EFFECTIVENESS, DROPPING)}
