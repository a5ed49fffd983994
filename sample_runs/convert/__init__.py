"""Exact conversions of a model with norms into one that computes the same function with cheaper norms, or none."""

from .prepbn import fold_prepbn
from .prerms import to_pre_crmsnorm, to_pre_rmsnorm

__all__ = ["fold_prepbn", "to_pre_crmsnorm", "to_pre_rmsnorm"]
