"""The side-by-side: strategies trained with equal data and budget, each at several learning rates and seeds."""

from .run import run_compare

__all__ = ["run_compare"]
