"""Find the tensor that matters in what modules are called with and return.

Runs inside compiled graphs, so it is plain loops: no generators, no isinstance on protocols.
"""

from typing import Any

from torch import Tensor

__all__ = ["first_stream", "tensors_in", "with_stream"]


def first_stream(value: Any) -> Tensor | None:
    """The first floating point `[B, T, D]` or `[N, D]` tensor in nested tuples and dicts: by convention the stream."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() and value.dim() in (2, 3) else None
    if isinstance(value, dict):  # Hugging Face outputs are ordered dicts
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            found = first_stream(item)
            if found is not None:
                return found
    return None


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def with_stream(value: Any, new: Tensor) -> Any:
    """`value` with its `first_stream` replaced; None where its kind of container is not known."""
    if isinstance(value, Tensor):
        return new
    if type(value) in (tuple, list):
        for i, item in enumerate(value):
            if first_stream(item) is not None:
                return type(value)([*value[:i], with_stream(item, new), *value[i + 1 :]])
    if type(value) is dict:
        for key, item in value.items():
            if first_stream(item) is not None:
                return {**value, key: with_stream(item, new)}
    return None
