"""Attach a recorder to a model: module hooks that hand tensors over and change nothing, all of them removable."""

from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from .inert import Inert
from .recorder import Recorder
from .sites import Block, Key, Sites
from .tensors import first_stream

__all__ = ["attach"]


def attach(model: nn.Module, sites: Sites, recorder: Recorder) -> list[RemovableHandle]:
    """Hook every block and tapped module of `model`; remove the returned handles to detach."""
    modules = dict(model.named_modules())
    handles = [handle for block in sites.blocks for handle in _hook_block(modules[block.name], block, recorder)]
    for tap in sites.taps:
        module = modules[tap.name]
        if tap.at == "input":
            handles.append(module.register_forward_pre_hook(_InputTap(recorder, tap.key), with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(_OutputTap(recorder, tap.key)))
    return handles


def _hook_block(module: nn.Module, block: Block, recorder: Recorder) -> list[RemovableHandle]:
    return [
        module.register_forward_pre_hook(_BlockInput(recorder, block), with_kwargs=True),
        module.register_forward_hook(_BlockOutput(recorder, block)),
    ]


class _BlockInput(Inert):
    def __init__(self, recorder: Recorder, block: Block) -> None:
        self.recorder, self.block = recorder, block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.recorder.forward is None:
            return
        stream = first_stream(args, kwargs)
        if stream is not None:
            self.recorder.enter_block(self.block.stack, self.block.layer, stream, copies=self.block.in_place)


class _BlockOutput(Inert):
    def __init__(self, recorder: Recorder, block: Block) -> None:
        self.recorder, self.block = recorder, block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.recorder.forward is None:
            return
        stream = first_stream(output)
        if stream is not None:
            self.recorder.leave_block(self.block.stack, self.block.layer, stream)


class _InputTap(Inert):
    def __init__(self, recorder: Recorder, key: Key) -> None:
        self.recorder, self.key = recorder, key

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = first_stream(args, kwargs) if self.recorder.forward is not None else None
        if x is not None:
            self.recorder.see(self.key, x)


class _OutputTap(Inert):
    def __init__(self, recorder: Recorder, key: Key) -> None:
        self.recorder, self.key = recorder, key

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        x = first_stream(output) if self.recorder.forward is not None else None
        if x is not None:
            self.recorder.see(self.key, x)
