"""Attach a recorder to a model: module hooks that hand tensors over and change nothing, all of them removable.

Hooks are traced into compiled graphs, where nothing can be caught; in eager mode a failure is caught and reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .batch import Mask
from .inert import Inert
from .recorder import Recorder
from .sites import Block, Sites
from .slots import BlockSlot, Slot
from .tensors import first_stream, with_stream
from .turns import EachTurn

__all__ = ["attach"]

Failed = Callable[[str, Exception], None]


def attach(model: nn.Module, sites: Sites, recorder: Recorder, mask: Mask, failed: Failed) -> list[RemovableHandle]:
    """Hook the root, every block and every tapped module of `model`; remove the returned handles to detach."""
    modules = dict(model.named_modules())
    handles = [
        model.register_forward_pre_hook(_CompiledRootInput(recorder, mask), with_kwargs=True),
        model.register_forward_hook(_CompiledRootOutput(recorder)),
    ]
    layers: dict[str, list[_Hooks]] = {}
    for block in sites.blocks:
        layers.setdefault(block.name, []).append(_hooks_of(block, sites, recorder, failed))
    for hooks in layers.values():
        for place, hook in (hooks[0] if len(hooks) == 1 else _shared(hooks, recorder, failed)).items():
            handles.append(_register(modules[place.name], place.at, hook))
    return handles


@dataclass(frozen=True)
class _Place:
    """Where a hook goes: a module's input or output, and what it is for."""

    name: str
    at: str
    site: str


_Hooks = dict[_Place, Callable[..., Any]]


def _hooks_of(block: Block, sites: Sites, recorder: Recorder, failed: Failed) -> _Hooks:
    """The hooks of one layer, the block's own first."""
    slot = recorder.blocks[block.stack, block.layer]
    hooks: _Hooks = {}
    through = block.enters == (block.name, "input") and block.leaves == (block.name, "output")
    for kind, place in (("enters", block.enters), ("leaves", block.leaves)):
        if place is not None:
            hooks[_Place(*place, kind)] = _EDGES[kind](recorder, slot, failed, at=place[1], alone=through)
    for tap in sites.taps:
        if tap.key[:2] == (block.stack, block.layer):
            site = _SiteTap(recorder, recorder.slot(tap.key), slot, failed, at=tap.at, alone=tap.alone)
            hooks[_Place(tap.name, tap.at, tap.key[2])] = site
    return hooks


def _shared(layers: list[_Hooks], recorder: Recorder, failed: Failed) -> _Hooks:
    """The hooks of a module that is several layers: each call goes to the hook of its layer."""
    places = dict.fromkeys(place for hooks in layers for place in hooks)
    shared = {
        place: EachTurn({i: hooks[place] for i, hooks in enumerate(layers) if place in hooks}, failed)
        for place in places
    }
    recorder.restarts += [hook.restart for hook in shared.values()]
    return dict(shared)


def _register(module: nn.Module, at: str, hook: Callable[..., Any]) -> RemovableHandle:
    if at == "input":
        return module.register_forward_pre_hook(hook, with_kwargs=True)
    return module.register_forward_hook(hook)


class _CompiledRootInput(Inert):
    """Starts a forward where the root runs inside a graph; in eager mode the probe does."""

    def __init__(self, recorder: Recorder, mask: Mask) -> None:
        self.recorder, self.mask = recorder, mask

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        # Called once more, and without kwargs, where it was replaced while the root's hooks were running.
        if kwargs is not None and torch.compiler.is_compiling() and module.training and torch.is_grad_enabled():
            self.recorder.begin_compiled(args, kwargs, self.mask)


class _CompiledRootOutput(Inert):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.compiler.is_compiling():
            self.recorder.end()


class _Tap(Inert):
    """Calls `record` on what a hook sees; in a compiled graph what it returns takes the seen value's place.

    Not where others read the same tensor (`alone` is False): they would not see the replacement, so that in a graph the
    gradient of such a site is not heard.
    """

    def __init__(self, recorder: Recorder, failed: Failed, *, at: str, alone: bool) -> None:
        self.recorder, self._failed, self._at, self._alone = recorder, failed, at, alone

    def record(self, stream: Tensor) -> Tensor | None:
        raise AssertionError("every tap says what it records")

    def __call__(self, module: nn.Module, args: tuple[Any, ...], other: Any) -> Any:
        """`other` is a dict, the keyword arguments, before the module runs, and its output afterwards."""
        if not torch.compiler.is_compiling():
            return self._watch((args, other) if self._at == "input" else other)
        seen = (args, other) if self._at == "input" else other
        stream = first_stream(seen)
        tapped = None if stream is None else self.record(stream)
        return None if tapped is None or not self._alone else with_stream(seen, tapped)

    def _watch(self, seen: Any) -> None:
        try:
            stream = first_stream(seen)
            if stream is not None and stream.numel():  # an empty batch has nothing to say
                self.record(stream)
        except Exception as error:
            self._failed(type(self).__name__.strip("_"), error)


def _never_a_graph_of_its_own(hook: Callable[..., Any]) -> None:
    """A hook on a compiled module is a frame beside the module's graph: it stays the Python that it is.

    Only a larger graph that runs through the hook traces it. What it calls is left alone with it.
    """
    frames = torch._C._dynamo.eval_frame
    skip = frames._FrameExecStrategy(frames._FrameAction.SKIP, frames._FrameAction.SKIP)
    frames.set_code_exec_strategy(hook.__code__, skip)


_never_a_graph_of_its_own(_Tap.__call__)


class _Enters(_Tap):
    def __init__(self, recorder: Recorder, block: BlockSlot, failed: Failed, *, at: str, alone: bool) -> None:
        super().__init__(recorder, failed, at=at, alone=alone)
        self.block = block

    def record(self, stream: Tensor) -> Tensor | None:
        return self.recorder.enter_block(self.block, stream)


class _Leaves(_Enters):
    def record(self, stream: Tensor) -> Tensor | None:
        return self.recorder.leave_block(self.block, stream)


_EDGES = {"enters": _Enters, "leaves": _Leaves}


class _SiteTap(_Tap):
    def __init__(
        self, recorder: Recorder, slot: Slot, block: BlockSlot, failed: Failed, *, at: str, alone: bool
    ) -> None:
        super().__init__(recorder, failed, at=at, alone=alone)
        self.slot, self.block = slot, block

    def record(self, stream: Tensor) -> Tensor | None:
        return self.recorder.see(self.slot, stream, self.block)
