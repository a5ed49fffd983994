"""Batches as loops pass them: how to call a model with one, how many tokens it has, and which of them are real."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from .tensors import tensors_in

__all__ = ["Mask", "as_arguments", "call", "count_tokens", "default_mask"]

Mask = Callable[[tuple[Any, ...], dict[str, Any]], Tensor | None]
"""From a forward's args and kwargs to `[B, T]` bool of real tokens, or None when all are."""


def default_mask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The root's `attention_mask` when it is `[B, T]`, else None: every token is real."""
    mask = kwargs.get("attention_mask")
    return mask.bool() if isinstance(mask, Tensor) and mask.dim() == 2 else None


def count_tokens(args: tuple[Any, ...], kwargs: dict[str, Any], real_BT: Tensor | None) -> int | Tensor:
    """Real tokens of a forward: from the mask, else the size of the first tensor without its feature axis."""
    if real_BT is not None:
        return real_BT.sum()
    tensors = tensors_in((args, kwargs))
    if not tensors:
        return 0
    first = tensors[0]
    return first.numel() // (first.shape[-1] if first.is_floating_point() and first.dim() > 2 else 1)


def as_arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A mapping is keyword arguments, a tuple or list positional ones, anything else the only argument."""
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch), {}) if isinstance(batch, tuple | list) else ((batch,), {})


def call(model: nn.Module, batch: Any) -> Any:
    """`model` on one batch."""
    args, kwargs = as_arguments(batch)
    return model(*args, **kwargs)
