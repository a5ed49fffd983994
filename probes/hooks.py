"""Attach a recorder to a model: module hooks that hand tensors over and change nothing, all of them removable.

Hooks are traced into compiled graphs, where nothing may be caught; in eager mode a failure is caught and reported.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .inert import Inert
from .recorder import BlockSlot, Recorder, Slot
from .sites import Sites
from .tensors import first_stream

__all__ = ["attach"]

Failed = Callable[[str, Exception], None]


def attach(model: nn.Module, sites: Sites, recorder: Recorder, failed: Failed) -> list[RemovableHandle]:
    """Hook every block and tapped module of `model`; remove the returned handles to detach."""
    modules = dict(model.named_modules())
    handles = []
    for block in sites.blocks:
        module, slot = modules[block.name], recorder.blocks[block.stack, block.layer]
        handles.append(module.register_forward_pre_hook(_BlockInput(recorder, slot, failed), with_kwargs=True))
        handles.append(module.register_forward_hook(_BlockOutput(recorder, slot, failed)))
    for tap in sites.taps:
        module, slot = modules[tap.name], recorder.blocks[tap.key[0], tap.key[1] or 0]
        site = recorder.slot(tap.key)
        if tap.at == "input":
            handles.append(module.register_forward_pre_hook(_InputTap(recorder, site, slot, failed), with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(_OutputTap(recorder, site, slot, failed)))
    return handles


class _Tap(Inert):
    """Calls `record` on what a hook sees; only an eager failure can be caught."""

    def __init__(self, recorder: Recorder, failed: Failed) -> None:
        self.recorder, self._failed = recorder, failed

    def record(self, seen: Any) -> None:
        raise AssertionError("every tap says what it records")

    def safely(self, seen: Any) -> None:
        if torch.compiler.is_compiling():
            self.record(seen)
            return
        try:
            self.record(seen)
        except Exception as error:
            self._failed(f"{type(self).__name__.strip('_')}", error)


class _BlockInput(_Tap):
    def __init__(self, recorder: Recorder, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.block = block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.safely((args, kwargs))

    def record(self, seen: Any) -> None:
        stream = first_stream(seen)
        if stream is not None:
            self.recorder.enter_block(self.block, stream)


class _BlockOutput(_Tap):
    def __init__(self, recorder: Recorder, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.block = block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.safely(output)

    def record(self, seen: Any) -> None:
        stream = first_stream(seen)
        if stream is not None:
            self.recorder.leave_block(self.block, stream)


class _SiteTap(_Tap):
    def __init__(self, recorder: Recorder, slot: Slot, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.slot, self.block = slot, block

    def record(self, seen: Any) -> None:
        x = first_stream(seen)
        if x is not None:
            self.recorder.see(self.slot, x, self.block)


class _InputTap(_SiteTap):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.safely((args, kwargs))


class _OutputTap(_SiteTap):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.safely(output)
