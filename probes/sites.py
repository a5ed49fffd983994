"""Where a model is measured: which modules carry which site of which layer, and which parameters belong to it.

What the structure tells (the blocks) is known at once; a traced forward on a small slice adds the branches, the norms
and their placement. A site that neither shows is absent, never guessed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from depthscope.store import DepthscopeError

from .blocks import Stack, find_stacks, may_hold_blocks
from .flow import BlockFlow, is_norm
from .layers import LayerCall, layer_calls
from .layout import why_not_last
from .parameters import parameter_groups
from .placement import block_placement, model_placement
from .trace import Call, Trace, trace_forward
from .trunk import Place

__all__ = ["Block", "Key", "Sites", "Tap", "find_sites", "trace_sites"]

Key = tuple[str, int | None, str]
"""(stack, layer, site); layer is None for embed, final_norm, head and other."""

_NAMED = ("blocks", "attn", "mlp")


@dataclass(frozen=True)
class Tap:
    """Measure `key` at the output or the input of the module `name`.

    `alone` is False where others read that input as well: its gradient is then more than what comes back from here.
    """

    name: str
    at: str
    key: Key
    alone: bool = True


@dataclass(frozen=True)
class Block:
    """One block: its qualified name, depth (from 1), norm placement and whether it overwrites its own input.

    A block that runs several times in a forward is as many layers: `turn` says which of its `turns` calls this one is.
    `enters` and `leaves` are where the stream before and after it is read; None where it is at no module. `parts` are
    the modules it consists of, where they are several that the model holds in lists of their own.
    """

    name: str
    stack: str
    layer: int
    placement: str = "unknown"
    in_place: bool = False
    turn: int = 0
    turns: int = 1
    enters: Place | None = None
    leaves: Place | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sites:
    """Everything `watch` measures on a model."""

    blocks: tuple[Block, ...]
    taps: tuple[Tap, ...]
    parameters: Mapping[Key, tuple[str, ...]]
    placement: str = "unknown"
    how: str = "structure"
    left_out: tuple[str, ...] = ()
    """What is not measured although it was looked for, one line each."""

    def __str__(self) -> str:
        if not self.blocks:
            return "blocks not known before the first forward"
        sites = sorted({tap.key[2] for tap in self.taps})
        first, last = self.blocks[0], self.blocks[-1]
        return (
            f"{len(self.blocks)} blocks ({first.name} to {last.name}), norm placement {self.placement}, "
            f"branch sites: {', '.join(sites) or 'none'} (by {self.how})"
        )


def find_sites(model: nn.Module, named: Mapping[str, Any] | None = None) -> Sites:
    """What the structure of `model` alone tells, or the user's small mapping.

    `named` may hold 'blocks' (a container's name, or the blocks' names in order) and 'attn', 'mlp' (the branch's name
    inside a block, whose output is added to the stream). Raises DepthscopeError when no blocks are found or a name is
    wrong.
    """
    named = dict(named or {})
    unknown = sorted(set(named) - set(_NAMED))
    if unknown:
        raise DepthscopeError(f"expected sites to name {', '.join(_NAMED)}, got {unknown[0]!r}; leave it out")
    stacks = _stacks(model, named.get("blocks"))
    blocks = tuple(
        Block(name, s.name, i, enters=(name, "input"), leaves=(name, "output"))
        for s in stacks
        for i, name in enumerate(s.blocks, start=1)
    )
    taps = tuple(
        tap for kind in ("attn", "mlp") if kind in named for tap in _named_taps(model, blocks, kind, named[kind])
    )
    return Sites(blocks, taps, _groups(model, blocks, _branch_names(taps), {}), how="names" if named else "structure")


def _stacks(model: nn.Module, named: str | tuple[str, ...] | None) -> tuple[Stack, ...]:
    """What the structure shows; nothing yet where only a forward can tell, because a part of it may run repeatedly."""
    try:
        return find_stacks(model, named)
    except DepthscopeError:
        if named is not None or not may_hold_blocks(model):
            raise
        return ()


def trace_sites(model: nn.Module, sites: Sites, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sites:
    """`sites` with branches, placement and outer modules, from one traced forward. Raises what the model raises."""
    trace = trace_forward(model, args, kwargs)
    layers = layer_calls(trace, model, _stacks_of(sites), as_named=sites.how == "names")
    foreign = _foreign_layouts(trace, layers)
    blocks = tuple(_block(each, measured=each.stack not in foreign) for each in layers)
    wanted = _renumbered(sites.taps, blocks) or tuple(
        tap for each in layers if each.stack not in foreign for tap in _taps(trace, each)
    )
    unclear = _unclear(trace, wanted, blocks)
    outer = _outer_modules(trace, {part for block in blocks for part in block.parts})
    parameters = _groups(model, blocks, _branch_modules(layers), outer)
    placements = {model_placement([b.placement for b in blocks if b.stack == s]) for s in {b.stack for b in blocks}}
    absent = _absent(trace, sites.blocks, blocks)
    return Sites(
        blocks,
        tuple(tap for tap in wanted if tap.name not in unclear),
        parameters,
        placements.pop() if len(placements) == 1 else "unknown",
        "traced forward",
        tuple(
            f"{name} is not measured: {why}" for name, why in [*absent, *_unclear_why(unclear), *_lost(blocks, foreign)]
        ),
    )


def _stacks_of(sites: Sites) -> tuple[Stack, ...]:
    names = dict.fromkeys(block.stack for block in sites.blocks)
    return tuple(Stack(name, tuple(b.name for b in sites.blocks if b.stack == name)) for name in names)


def _foreign_layouts(trace: Trace, layers: list[LayerCall]) -> dict[str, str]:
    """The stacks whose features are not known to lie on the last axis, with the reason."""
    why = {
        stack: why_not_last(trace, [(each.call, each.flow) for each in layers if each.stack == stack])
        for stack in dict.fromkeys(each.stack for each in layers)
    }
    return {stack: reason for stack, reason in why.items() if reason is not None}


def _block(found: LayerCall, *, measured: bool) -> Block:
    return Block(
        found.call.name,
        found.stack,
        found.layer,
        block_placement(found.flow, found.layer),
        found.flow.in_place,
        found.turn,
        found.turns,
        found.enters if measured else None,
        found.leaves if measured else None,
        found.parts,
    )


def _renumbered(taps: tuple[Tap, ...], blocks: tuple[Block, ...]) -> tuple[Tap, ...]:
    """The taps that the user named, for every layer their block is."""
    return tuple(
        replace(tap, key=(block.stack, block.layer, tap.key[2]))
        for block in blocks
        for tap in taps
        if block.turn == 0 and tap.name.startswith(f"{block.name}.")
    )


def _unclear(trace: Trace, taps: tuple[Tap, ...], blocks: tuple[Block, ...]) -> set[str]:
    """Tapped modules that do not run once in each call of their block: their values would be those of two sites."""
    layers = {(block.stack, block.layer): block for block in blocks}
    ran = Counter(call.name for call in trace.calls)
    owners = Counter((tap.name, layers[tap.key[0], tap.key[1] or 0].name) for tap in taps if tap.at == "output")
    shared = {name for name, count in Counter(name for name, _ in owners).items() if count > 1}
    return shared | {tap.name for tap in taps if ran[tap.name] != layers[tap.key[0], tap.key[1] or 0].turns}


def _absent(trace: Trace, expected: tuple[Block, ...], found: tuple[Block, ...]) -> list[tuple[str, str]]:
    """The blocks that the structure showed and the forward did not confirm, with the reason."""
    kept, ran = {part for block in found for part in block.parts}, {call.name for call in trace.calls}
    missing = [b.name for b in expected if b.name not in kept and not any(k.startswith(f"{b.name}.") for k in kept)]
    return [(name, f"it {'carries no residual stream' if name in ran else 'did not run'}") for name in missing]


def _lost(blocks: tuple[Block, ...], foreign: Mapping[str, str]) -> list[tuple[str, str]]:
    """Layers whose stream is nowhere to be measured, with the reason."""
    outside = "the model adds what its blocks return, and no module reads the sum"
    lost: list[tuple[str, str]] = []
    for stack in dict.fromkeys(block.stack for block in blocks):
        mine = [block for block in blocks if block.stack == stack]
        if not any(block.enters or block.leaves for block in mine):
            lost.append((f"the stream of {mine[0].name} to {mine[-1].name}", foreign.get(stack, outside)))
            continue
        lost += [(f"the stream before {block.name}", outside) for block in mine[:1] if block.enters is None]
        lost += [(f"the stream after {block.name}", outside) for block in mine if block.leaves is None]
    return lost


def _unclear_why(names: set[str]) -> list[tuple[str, str]]:
    return [(name, "it runs several times in a block, or in several blocks") for name in sorted(names)]


def _named_taps(model: nn.Module, blocks: tuple[Block, ...], kind: str, child: str) -> list[Tap]:
    modules = dict(model.named_modules())
    taps = [Tap(f"{block.name}.{child}", "output", (block.stack, block.layer, f"{kind}_out")) for block in blocks]
    missing = next((tap.name for tap in taps if tap.name not in modules), None)
    if missing is not None:
        raise DepthscopeError(f"expected sites[{kind!r}] to name a module inside every block, found no {missing!r}")
    return taps


def _taps(trace: Trace, block: LayerCall) -> list[Tap]:
    """The branch sites of one block; a kind that occurs twice (two MLPs) is left out rather than mixed."""
    flow = block.flow
    kinds = [branch.kind for branch in flow.branches]
    taps = []
    for branch in flow.branches:
        if kinds.count(branch.kind) > 1 or branch.kind not in ("attn", "mlp"):
            continue
        if branch.module is not None:
            taps.append(Tap(branch.module, "output", (block.stack, block.layer, f"{branch.kind}_out")))
        elif branch.source is not None:  # scaled on its way to the sum: no module's output is what is added
            taps.append(Tap(branch.source, "output", (block.stack, block.layer, f"{branch.kind}_raw")))
        if branch.raw_norm is not None:
            taps.append(Tap(branch.raw_norm, "input", (block.stack, block.layer, f"{branch.kind}_raw")))
    if flow.branches and flow.branches[-1].post_norm:
        taps.append(Tap(flow.branches[-1].post_norm, "input", (block.stack, block.layer, "resid_sum")))
    middle = _middle_reader(trace, block.call, flow)
    if middle is None:
        return taps
    alone = trace.is_within(middle, flow.branches[1].total)
    return [*taps, Tap(middle.name, "input", (block.stack, block.layer, "resid_mid"), alone)]


def _middle_reader(trace: Trace, block: Call, flow: BlockFlow) -> Call | None:
    """The first module that reads the stream between attention and MLP, when it stands between them at all."""
    if len(flow.branches) != 2 or flow.branches[0].total == flow.branches[1].total:
        return None
    middle = flow.branches[1].before
    readers = [c for c in trace.calls if block.start < c.start and c.end < block.end and c.input == middle]
    return min(readers, key=lambda c: c.start, default=None)


def _branch_modules(layers: list[LayerCall]) -> dict[str, dict[str, str]]:
    """For each block with one attention and one MLP the modules that compute them, before an output norm."""
    found: dict[str, dict[str, str]] = {}
    for layer in layers:
        branches = layer.flow.branches
        named = {branch.kind: branch.source for branch in branches if branch.source is not None}
        if len(branches) == len(named) == 2 and set(named) == {"attn", "mlp"}:
            found |= dict.fromkeys(layer.parts, named)
    return found


def _branch_names(taps: tuple[Tap, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for tap in taps:
        found.setdefault(tap.name.rsplit(".", 1)[0], {})[tap.key[2].removesuffix("_out")] = tap.name
    return found


def _outer_modules(trace: Trace, blocks: set[str]) -> dict[str, str]:
    """Modules outside the blocks: what ran before them (embed), the norm after them, and what followed (head)."""
    inside = [c for c in trace.calls if c.name in blocks or any(c.name.startswith(f"{name}.") for name in blocks)]
    if not inside:
        return {}
    start, end = min(c.start for c in inside), max(c.end for c in inside)
    after = sorted((c for c in trace.calls if c.start > end), key=lambda c: c.start)
    norm = next((c for c in after if is_norm(c)), None)
    outer = {c.name: "embed" for c in trace.calls if c.end < start}
    outer |= {c.name: "head" for c in after}
    return outer if norm is None else outer | {norm.name: "final_norm"}


def _groups(
    model: nn.Module, blocks: tuple[Block, ...], branches: Mapping[str, Mapping[str, str]], outer: Mapping[str, str]
) -> dict[Key, tuple[str, ...]]:
    first = {part: (b.stack, b.layer) for b in blocks if b.turn == 0 for part in b.parts or (b.name,)}
    return parameter_groups(model, first, branches, outer)
