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
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        # A compiled model runs uncompiled: a forward on the side must not add graphs.
        eager = torch.compiler.set_stance("force_eager")
        with eager, torch.random.fork_rng(devices=_cuda_devices(model)), torch.no_grad():
            for module, _ in training:
                module.training = False  # not .eval(): models override it
            yield
    finally:
        for module, was_training in training:
            module.training = was_training
        _restore(buffers)


def _restore(buffers: list[tuple[nn.Module, str, Tensor | None, Tensor | None]]) -> None:
    for module, name, buffer, copy in buffers:
        module._buffers[name] = buffer
        if buffer is not None and copy is not None:
            with torch.no_grad():
                buffer.copy_(copy)


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({tensor.device.index for tensor in model.parameters() if tensor.device.type == "cuda"})
