"""Held-out measurements that change a model for a moment and put it back exactly."""

from .holdout import Holdout, Losses, LossFn, as_holdout, paired, sequence_losses

__all__ = ["Holdout", "LossFn", "Losses", "as_holdout", "paired", "sequence_losses"]
