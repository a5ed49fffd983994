"""Run a model on the side and leave no trace: modes, buffers and random number generators are put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Inside, `model` is in eval mode without gradients; on exit, also by an exception, everything is as it was."""
    training = [(module, module.training) for module in model.modules()]
    buffers = [_Kept(module, name, b) for module in model.modules() for name, b in module._buffers.items()]
    try:
        # A compiled model runs uncompiled: a forward on the side must not add graphs.
        eager = torch.compiler.set_stance("force_eager")
        with eager, _fresh_casts(), torch.random.fork_rng(devices=_cuda_devices(model)), torch.no_grad():
            for module, _ in training:
                module.training = False  # not .eval(): models override it
            yield
    finally:
        for module, was_training in training:
            module.training = was_training
        for kept in buffers:
            kept.restore()


class _Kept:
    """A buffer as it was. What was not written is not written back: a backward that waits may still need it."""

    def __init__(self, module: nn.Module, name: str, buffer: Tensor | None) -> None:
        self._module, self._name, self._buffer = module, name, buffer
        self._copy = None if buffer is None else buffer.clone()
        self._version = _version(buffer)

    def restore(self) -> None:
        self._module._buffers[self._name] = self._buffer
        if self._buffer is not None and self._copy is not None and _version(self._buffer) != self._version:
            with torch.no_grad():
                self._buffer.copy_(self._copy)


def _version(tensor: Tensor | None) -> int:
    """Counts in-place writes; tensors made in inference mode have no such number."""
    return -1 if tensor is None or tensor.is_inference() else tensor._version


@contextmanager
def _fresh_casts() -> Iterator[None]:
    """Autocast keeps its casts of weights: they must not outlive a change of the weights, nor be left to the loop."""
    kept = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(kept)


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({tensor.device.index for tensor in model.parameters() if tensor.device.type == "cuda"})
