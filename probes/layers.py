"""Which calls of which modules are the layers, from a traced forward: depth is the order of calls, not of names.

The structure proposes stacks; a forward corrects them. Stages of blocks (Swin) are opened up, a block that runs several
times is several layers (ALBERT), what carries no residual stream (a stem of convolutions) is no stack, and where the
structure shows nothing, blocks are the outermost modules that add something to what they are given. Where the model
itself adds what its blocks return, the stream is followed around them (trunk.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import nn

from depthscope.store import DepthscopeError

from .blocks import Stack, named_stacks, same_class_children
from .flow import BlockFlow, block_flow
from .trace import Call, Trace
from .trunk import Place, adds_around, find_trunk, linked, places

__all__ = ["LayerCall", "layer_calls"]


@dataclass(frozen=True)
class LayerCall:
    """Layer `layer` of a stack (from 1): call number `turn` (from 0) of the block, of `turns` in a forward.

    `enters` and `leaves` are where the stream before and after it is read; None where it is at no module. `parts` are
    the modules it consists of: the block, or several where the model holds them in lists of their own.
    """

    stack: str
    layer: int
    turn: int
    turns: int
    call: Call
    flow: BlockFlow
    enters: Place | None
    leaves: Place | None
    parts: tuple[str, ...]


def layer_calls(trace: Trace, model: nn.Module, stacks: Sequence[Stack], *, as_named: bool) -> list[LayerCall]:
    """The layers of every stack in order of depth; blocks that were not called are left out.

    `as_named` takes the stacks as the user named them.
    Raises DepthscopeError where `stacks` is empty and no module carries a residual stream.
    """
    blocks = [stack.blocks for stack in stacks] or _found_by_flow(trace)
    found = [_stream(trace, model, names, trusted=as_named) for names in blocks]
    blocks, found = _joined(trace, model, blocks, found)
    if not any(found):
        raise DepthscopeError("expected a block that is repeated, or called several times; none was seen running")
    streams = [i for i, layers in enumerate(found) if any(layer.flow.branches for layer in layers)]
    kept = [i for i, layers in enumerate(found) if layers and (not streams or i in streams or _measured(layers))]
    named = [stack.name for stack in stacks] if len(kept) == len(stacks) else []
    names = named or [stack.name for stack in named_stacks([blocks[i] for i in kept])]
    return [replace(layer, stack=name) for name, i in zip(names, kept, strict=True) for layer in found[i]]


def _stream(trace: Trace, model: nn.Module, names: Sequence[str], *, trusted: bool) -> list[LayerCall]:
    """The layers of one stack, with the stream where it was seen: through the blocks, else around them."""
    calls = _calls(trace, names)
    if not calls and (found := _around(trace, model, [[name] for name in names])):
        return found
    if not trusted:
        calls = _calls(trace, _opened(trace, model, names))
    flows = [block_flow(trace, call) for call in calls]
    carries = any(flow.branches for flow in flows)
    if trusted or (carries and not adds_around(trace, calls)) or (not carries and linked(trace, calls)):
        sides = [((call.name, "input"), (call.name, "output")) for call in calls]
        return _numbered(calls, flows, sides)
    owners = [[call.name] for call in calls]
    return _around(trace, model, owners, flows if carries else None) or _numbered(
        calls, flows, [(None, None)] * len(calls)
    )


def _joined(
    trace: Trace, model: nn.Module, blocks: list[tuple[str, ...]], found: list[list[LayerCall]]
) -> tuple[list[tuple[str, ...]], list[list[LayerCall]]]:
    """Lists of one length whose modules take turns (all attentions, all MLPs) are one stack where that has a stream."""
    lost = [i for i, layers in enumerate(found) if not _measured(layers)]
    sizes = {len(blocks[i]) for i in lost}
    if len(lost) < 2 or len(sizes) > 1:
        return blocks, found
    rows = [list(row) for row in zip(*(blocks[i] for i in lost), strict=True)]
    layers = _around(trace, model, rows)
    if not layers:
        return blocks, found
    kept = [i for i in range(len(blocks)) if i not in lost]
    names = tuple(layer.call.name for layer in layers)
    return [names, *(blocks[i] for i in kept)], [layers, *(found[i] for i in kept)]


def _around(
    trace: Trace, model: nn.Module, owners: Sequence[Sequence[str]], inner: Sequence[BlockFlow] | None = None
) -> list[LayerCall]:
    """The layers of blocks whose stream runs outside of them; none where it was not found.

    `owners` are each layer's modules; where one is not called itself (a ModuleList), what is in it counts. `inner` is
    what runs inside blocks that have a stream of their own as well.
    """
    groups = [(names, group) for names in owners if (group := _outermost_calls(trace, names))]
    trunk = find_trunk(trace, [group for _, group in groups]) if groups else None
    if trunk is None:
        return []
    starts = [groups[0][1][0].start - 1, *(group[-1].end for _, group in groups[:-1])]
    ends = [*(group[0].start for _, group in groups[1:]), trace.clock + 1]
    calls = []
    for i, (names, group) in enumerate(groups):
        name = next(name for name in names if f"{group[0].name}.".startswith(f"{name}."))
        shapes = group[-1].shapes
        calls.append(Call(name, model.get_submodule(name), trunk[i], trunk[i + 1], starts[i], ends[i], shapes))
    flows = inner or [block_flow(trace, call) for call in calls]
    parts = [tuple(names) for names, _ in groups]
    sides = list(pairwise(places(trace, trunk)))
    return _numbered(calls, flows, sides, parts) if all(flow.branches for flow in flows) else []


def _calls(trace: Trace, names: Sequence[str]) -> list[Call]:
    wanted = set(names)
    return sorted((call for call in trace.calls if call.name in wanted), key=lambda call: call.start)


def _outermost_calls(trace: Trace, owners: Sequence[str]) -> list[Call]:
    """The calls of these modules, or of those in them where they are not called themselves, none inside another."""
    found: list[Call] = []
    for call in sorted(trace.calls, key=lambda call: call.start):
        mine = any(f"{call.name}.".startswith(f"{name}.") for name in owners)
        if mine and not (found and call.end < found[-1].end):
            found.append(call)
    return found


def _numbered(
    calls: Sequence[Call],
    flows: Sequence[BlockFlow],
    sides: Sequence[tuple[Place | None, Place | None]],
    parts: Sequence[tuple[str, ...]] | None = None,
) -> list[LayerCall]:
    names = [call.name for call in calls]
    each = zip(calls, flows, sides, parts or [(name,) for name in names], strict=True)
    return [
        LayerCall("", i + 1, names[:i].count(call.name), names.count(call.name), call, flow, *side, mine)
        for i, (call, flow, side, mine) in enumerate(each)
    ]


def _measured(layers: Sequence[LayerCall]) -> bool:
    return any(layer.leaves is not None for layer in layers)


def _opened(trace: Trace, model: nn.Module, names: Sequence[str]) -> Sequence[str]:
    """The blocks inside a stack's stages, where no stage adds to the stream itself and all hold the same blocks."""
    stages = _calls(trace, names)
    if any(block_flow(trace, stage).branches for stage in stages):
        return names
    inner = [_inner_blocks(model, name) for name in names]
    found = [name for blocks in inner for name in blocks]
    classes = {type(model.get_submodule(name)) for name in found}
    carries = all(block_flow(trace, call).branches for call in _calls(trace, found))
    return tuple(found) if all(inner) and len(classes) == 1 and carries else names


def _inner_blocks(model: nn.Module, stage: str) -> tuple[str, ...]:
    """The largest list of equal modules inside a stage; one may be enough, because its neighbours have more."""
    lists = [
        names
        for path, module in model.get_submodule(stage).named_modules(prefix=stage)
        if isinstance(module, nn.ModuleList | nn.Sequential) and (names := same_class_children(path, module))
    ]
    return max(lists, key=len, default=())


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
