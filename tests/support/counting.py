"""Count what a piece of code makes a device do: its operations, and the times the host waits for it.

Waiting is counted on the device 'meta', which has no data: whatever reads a value there would have to wait on a GPU.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Operations", "Waits"]

READS = ("item", "tolist", "cpu", "numpy", "__float__", "__bool__", "__int__", "__index__", "__complex__")
INDEXES = ("__getitem__", "__setitem__")
WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten._unique2")


class Operations(TorchDispatchMode):
    """Inside, counts every operation by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        self.counted[str(func)] += 1
        return func(*args, **(kwargs or {}))


class Waits:
    """Inside, names every time the host would wait for the device of meta tensors; what is read from them is zeros."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._modes = (_Functions(self.seen), _Transfers(self.seen))

    def __enter__(self) -> "Waits":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Functions(TorchFunctionMode):
    """Reading values, and indexing by lists, which are copied to the device first."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = getattr(func, "__name__", str(func))
        on_device = bool(args) and isinstance(args[0], Tensor) and args[0].is_meta
        if on_device and name in READS:
            self.seen.append(name)
            return torch.zeros(args[0].shape).tolist()
        if on_device and name in INDEXES and any(isinstance(index, list) for index in tree_lists(args[1])):
            self.seen.append(f"{name} with a list")
        if name == "tensor" and torch.device((kwargs or {}).get("device") or "cpu").type == "meta":
            self.seen.append("torch.tensor on the device")
        return func(*args, **(kwargs or {}))


def tree_lists(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


class _Transfers(TorchDispatchMode):
    """Operations that wait by themselves, and copies between host and device (0-d host tensors go along as numbers)."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
        crossing = len({t.device.type for t in tensors if t.is_meta or t.dim()}) > 1
        if any(t.is_meta for t in tensors) and (crossing or str(func).startswith(WAITING)):
            self.seen.append(str(func))
        return out
