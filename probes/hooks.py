"""Attach a recorder to a model: module hooks that hand tensors over and change nothing, all of them removable.

Hooks are traced into compiled graphs, where nothing can be caught; in eager mode a failure is caught and reported.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .batch import Mask
from .inert import Inert
from .recorder import BlockSlot, Recorder, Slot
from .sites import Sites
from .tensors import first_stream, with_stream

__all__ = ["attach"]

Failed = Callable[[str, Exception], None]


def attach(model: nn.Module, sites: Sites, recorder: Recorder, mask: Mask, failed: Failed) -> list[RemovableHandle]:
    """Hook the root, every block and every tapped module of `model`; remove the returned handles to detach."""
    modules = dict(model.named_modules())
    handles = [
        model.register_forward_pre_hook(_CompiledRootInput(recorder, mask), with_kwargs=True),
        model.register_forward_hook(_CompiledRootOutput(recorder)),
    ]
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


class _CompiledRootInput(Inert):
    """Starts a forward where the root runs inside a graph; in eager mode the probe does."""

    def __init__(self, recorder: Recorder, mask: Mask) -> None:
        self.recorder, self.mask = recorder, mask

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() and module.training and torch.is_grad_enabled():
            self.recorder.begin_compiled(args, kwargs, self.mask)


class _CompiledRootOutput(Inert):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.compiler.is_compiling():
            self.recorder.end()


class _Tap(Inert):
    """Calls `record` on what a hook sees; in a compiled graph what it returns takes the seen value's place."""

    def __init__(self, recorder: Recorder, failed: Failed) -> None:
        self.recorder, self._failed = recorder, failed

    def record(self, seen: Any) -> Any:
        raise AssertionError("every tap says what it records")

    def see(self, seen: Any) -> Any:
        if torch.compiler.is_compiling():
            tapped = self.record(seen)
            return None if tapped is None else with_stream(seen, tapped)
        try:
            self.record(seen)
        except Exception as error:
            self._failed(type(self).__name__.strip("_"), error)
        return None


class _BlockInput(_Tap):
    def __init__(self, recorder: Recorder, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.block = block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.see((args, kwargs))

    def record(self, seen: Any) -> Any:
        stream = first_stream(seen)
        return None if stream is None else self.recorder.enter_block(self.block, stream)


class _BlockOutput(_Tap):
    def __init__(self, recorder: Recorder, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.block = block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return self.see(output)

    def record(self, seen: Any) -> Any:
        stream = first_stream(seen)
        return None if stream is None else self.recorder.leave_block(self.block, stream)


class _SiteTap(_Tap):
    def __init__(self, recorder: Recorder, slot: Slot, block: BlockSlot, failed: Failed) -> None:
        super().__init__(recorder, failed)
        self.slot, self.block = slot, block

    def record(self, seen: Any) -> Any:
        x = first_stream(seen)
        return None if x is None else self.recorder.see(self.slot, x, self.block)


class _InputTap(_SiteTap):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.see((args, kwargs))


class _OutputTap(_SiteTap):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return self.see(output)
