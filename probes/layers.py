"""Which calls of which modules are the layers, from a traced forward: depth is the order of calls, not of names.

The structure proposes stacks; a forward corrects them. Stages of blocks (Swin) are opened up, a block that runs several
times is several layers (ALBERT), what carries no residual stream (a stem of convolutions) is no stack, and where the
structure shows nothing, blocks are the outermost modules that add something to what they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from depthscope.store import DepthscopeError

from .blocks import Stack, named_stacks, same_class_children
from .flow import BlockFlow, block_flow
from .trace import Call, Trace

__all__ = ["LayerCall", "layer_calls"]


@dataclass(frozen=True)
class LayerCall:
    """Layer `layer` of a stack (from 1): call number `turn` (from 0) of the block, of `turns` in a forward."""

    stack: str
    layer: int
    turn: int
    turns: int
    call: Call
    flow: BlockFlow


def layer_calls(trace: Trace, model: nn.Module, stacks: Sequence[Stack], *, as_named: bool) -> list[LayerCall]:
    """The layers of every stack in order of depth; blocks that were not called are left out.

    `as_named` takes the stacks as the user named them.
    Raises DepthscopeError where `stacks` is empty and no module carries a residual stream.
    """
    seen = [stack.blocks if as_named else _opened(trace, model, stack) for stack in stacks]
    blocks = seen or _found_by_flow(trace)
    flows = [[(call, block_flow(trace, call)) for call in _calls(trace, names)] for names in blocks]
    if not any(flows):
        raise DepthscopeError("expected a block that is repeated, or called several times; none was seen running")
    streams = [i for i, found in enumerate(flows) if any(flow.branches for _, flow in found)]
    kept = [i for i, found in enumerate(flows) if found and (not streams or i in streams or _chained(found))]
    named = [stack.name for stack in stacks] if len(kept) == len(stacks) else []
    names = named or [stack.name for stack in named_stacks([blocks[i] for i in kept])]
    return [layer for name, i in zip(names, kept, strict=True) for layer in _numbered(name, flows[i])]


def _calls(trace: Trace, names: Sequence[str]) -> list[Call]:
    wanted = set(names)
    return sorted((call for call in trace.calls if call.name in wanted), key=lambda call: call.start)


def _numbered(stack: str, found: list[tuple[Call, BlockFlow]]) -> list[LayerCall]:
    names = [call.name for call, _ in found]
    return [
        LayerCall(stack, i + 1, names[:i].count(call.name), names.count(call.name), call, flow)
        for i, (call, flow) in enumerate(found)
    ]


def _opened(trace: Trace, model: nn.Module, stack: Stack) -> tuple[str, ...]:
    """The blocks inside the stack's stages, where no stage adds to the stream itself and all hold the same blocks."""
    stages = _calls(trace, stack.blocks)
    if any(block_flow(trace, stage).branches for stage in stages):
        return stack.blocks
    inner = [_inner_blocks(model, name) for name in stack.blocks]
    found = [name for blocks in inner for name in blocks]
    classes = {type(model.get_submodule(name)) for name in found}
    carries = all(block_flow(trace, call).branches for call in _calls(trace, found))
    return tuple(found) if all(inner) and len(classes) == 1 and carries else stack.blocks


def _inner_blocks(model: nn.Module, stage: str) -> tuple[str, ...]:
    """The largest list of equal modules inside a stage; one may be enough, because its neighbours have more."""
    lists = [
        names
        for path, module in model.get_submodule(stage).named_modules(prefix=stage)
        if isinstance(module, nn.ModuleList | nn.Sequential) and (names := same_class_children(path, module))
    ]
    return max(lists, key=len, default=())


def _chained(found: list[tuple[Call, BlockFlow]]) -> bool:
    """Whether each call reads what the one before returned, all of one shape: a stream that was not understood."""
    calls = [call for call, _ in found]
    return len({shape for call in calls for shape in call.shapes}) == 1 and all(
        first.output == second.input for first, second in pairwise(calls)
    )


def _found_by_flow(trace: Trace) -> list[tuple[str, ...]]:
    """The outermost modules but the root that add branches to what they are given, when at least two calls do."""
    found: list[Call] = []
    for call in sorted(trace.calls, key=lambda call: call.start):
        inside = any(outer.start < call.start and call.end < outer.end for outer in found)
        if call.name and not inside and any(True for _ in call.module.children()) and _carries(trace, call):
            found.append(call)
    return [tuple(dict.fromkeys(call.name for call in found))] if len(found) > 1 else []


def _carries(trace: Trace, call: Call) -> bool:
    return call.shapes[0] == call.shapes[1] and bool(block_flow(trace, call).branches)
