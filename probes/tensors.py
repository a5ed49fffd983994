"""Find the tensor that matters in what modules are called with and return.

Runs inside compiled graphs, so it is plain loops: no generators, no isinstance on protocols.
"""

from typing import Any

from torch import Tensor

__all__ = ["first_stream", "tensors_in", "with_stream"]


def first_stream(value: Any) -> Tensor | None:
    """The first floating point `[B, T, D]` or `[N, D]` tensor in nested containers: by convention the stream.

    Where there is none, the first `[B, C, T, D]`: series with several channels.
    """
    found = _first(value, (2, 3))
    return _first(value, (4,)) if found is None else found


def _first(value: Any, dims: tuple[int, ...]) -> Tensor | None:
    if isinstance(value, Tensor):
        return value if value.is_floating_point() and value.dim() in dims else None
    for item in _inside(value):
        found = _first(item, dims)
        if found is not None:
            return found
    return None


def _inside(value: Any) -> tuple[Any, ...] | list[Any]:
    """What a container holds; nothing of what is none."""
    if isinstance(value, dict):  # Hugging Face outputs are ordered dicts
        return tuple(value.values())
    if hasattr(value, "__dataclass_fields__"):
        return [getattr(value, name) for name in value.__dataclass_fields__]
    return value if isinstance(value, tuple | list) else ()


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in _inside(value) for tensor in tensors_in(item)]


def with_stream(value: Any, new: Tensor) -> Any:
    """`value` with its `first_stream` replaced; None where its kind of container is not known."""
    found = first_stream(value)
    return None if found is None else _replaced(value, found, new)


def _replaced(value: Any, old: Tensor, new: Tensor) -> Any:
    if value is old:
        return new
    if type(value) in (tuple, list):
        for i, item in enumerate(value):
            if _holds(item, old):
                return type(value)([*value[:i], _replaced(item, old, new), *value[i + 1 :]])
    if type(value) is dict:
        for key, item in value.items():
            if _holds(item, old):
                return {**value, key: _replaced(item, old, new)}
    return None


def _holds(value: Any, tensor: Tensor) -> bool:
    return first_stream(value) is tensor or _first(value, (4,)) is tensor
