"""The metrics, one file each. A new metric is a new file and a line here; the order is the order on screen."""

from . import (
    abs_max,
    act_grad_norm,
    angular_distance,
    angular_distance_last,
    batch_mean_fluctuation,
    batch_var_fluctuation,
    block_influence,
    branch_cosine,
    branch_ratio,
    kurtosis,
    mean_square,
    median_abs,
    nonfinite,
    param_grad_norm,
    param_norm,
    update_ratio,
    variance,
    variance_median,
)
from ._metric import SAMPLED, BatchStatistics, Gradients, Metric, Of, Pair, ParameterGroup, Pool, Tokens

__all__ = [
    "METRICS",
    "SAMPLED",
    "BatchStatistics",
    "Gradients",
    "Metric",
    "Of",
    "Pair",
    "ParameterGroup",
    "Pool",
    "Tokens",
]

METRICS: dict[str, Metric] = {
    module.METRIC.name: module.METRIC
    for module in (
        variance,
        variance_median,
        mean_square,
        abs_max,
        median_abs,
        kurtosis,
        nonfinite,
        act_grad_norm,
        block_influence,
        angular_distance,
        angular_distance_last,
        branch_ratio,
        branch_cosine,
        param_grad_norm,
        param_norm,
        update_ratio,
        batch_mean_fluctuation,
        batch_var_fluctuation,
    )
}
