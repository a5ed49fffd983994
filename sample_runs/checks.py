"""Checks of what users ask for: one line that says what was expected and what came."""

from math import isfinite

from depthscope.store import DepthscopeError

__all__ = ["at_least", "one_of", "positive"]


def at_least(name: str, value: object, low: int) -> None:
    """`value` is a whole number, `low` or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise DepthscopeError(f"expected {name} to be a whole number of at least {low}, but got {value!r}")


def positive(name: str, value: object) -> None:
    """`value` is a finite number above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value <= 0:
        raise DepthscopeError(f"expected {name} to be a number above 0, but got {value!r}")


def one_of(name: str, value: object, valid: tuple[str, ...]) -> None:
    """`value` is one of `valid`."""
    if value not in valid:
        raise DepthscopeError(f"expected {name} to be one of {', '.join(valid)}, but got {value!r}")
