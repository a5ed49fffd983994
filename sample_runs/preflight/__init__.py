"""Preflight: what a model does across depth at initialization, from one batch, before compute is spent on it."""

from .checks import LayerCheck, Preflight
from .own import preflight_model
from .reference import preflight_strategies

__all__ = ["LayerCheck", "Preflight", "preflight_model", "preflight_strategies"]
