"""Take rows of a batch, whatever holds its tensors: sequences are what held-out losses are clustered by."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..tensors import tensors_in

__all__ = ["moved", "rows", "sequences"]


def sequences(batch: Any) -> int:
    """Sequences in a batch: the size of its first tensor's first axis; 0 where it holds no such tensor."""
    return next((tensor.shape[0] for tensor in tensors_in(_plain(batch)) if tensor.dim()), 0)


def rows(batch: Any, chosen: slice) -> Any:
    """The chosen sequences of a batch: of every tensor whose first axis counts them; the rest goes along as it is."""
    size = sequences(batch)
    return _mapped(batch, lambda t: t[chosen] if t.dim() and t.shape[0] == size else t)


def moved(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on `device`."""
    return _mapped(batch, lambda t: t.to(device))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(item, change) for name, item in value.items()}
    if isinstance(value, tuple | list):
        changed = [_mapped(item, change) for item in value]
        return changed if isinstance(value, list) else tuple(changed)
    return value


def _plain(value: Any) -> Any:
    """Mappings that are not dicts (Hugging Face's BatchEncoding) as dicts."""
    return dict(value) if isinstance(value, Mapping) else value
