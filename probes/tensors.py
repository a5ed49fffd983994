"""Find the tensor that matters in what modules are called with and return."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["first_stream", "tensors_in"]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and mappings (Hugging Face outputs are mappings), in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def first_stream(*values: Any) -> Tensor | None:
    """The first floating point tensor with a feature axis ([B, T, D] or [N, D]): by convention the residual stream."""
    return next((t for value in values for t in tensors_in(value) if t.is_floating_point() and t.dim() in (2, 3)), None)
