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
from .parameters import parameter_groups
from .placement import block_placement, model_placement
from .trace import Call, Trace, trace_forward

__all__ = ["Block", "Key", "Sites", "Tap", "find_sites", "trace_sites"]

Key = tuple[str, int | None, str]
"""(stack, layer, site); layer is None for embed, final_norm, head and other."""

_NAMED = ("blocks", "attn", "mlp")


@dataclass(frozen=True)
class Tap:
    """Measure `key` at the output or the input of the module `name`."""

    name: str
    at: str
    key: Key


@dataclass(frozen=True)
class Block:
    """One block: its qualified name, depth (from 1), norm placement and whether it overwrites its own input.

    A block that runs several times in a forward is as many layers: `turn` says which of its `turns` calls this one is.
    """

    name: str
    stack: str
    layer: int
    placement: str = "unknown"
    in_place: bool = False
    turn: int = 0
    turns: int = 1


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
    blocks = tuple(Block(name, s.name, i) for s in stacks for i, name in enumerate(s.blocks, start=1))
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
    blocks = tuple(_block(each) for each in layers)
    wanted = _renumbered(sites.taps, blocks) or tuple(t for each in layers for t in _taps(trace, each))
    unclear = _unclear(trace, wanted, blocks)
    outer = _outer_modules(trace, [each.call for each in layers])
    parameters = _groups(model, blocks, _branch_modules(layers), outer)
    placements = {model_placement([b.placement for b in blocks if b.stack == s]) for s in {b.stack for b in blocks}}
    absent = _absent(trace, sites.blocks, blocks)
    return Sites(
        blocks,
        tuple(tap for tap in wanted if tap.name not in unclear),
        parameters,
        placements.pop() if len(placements) == 1 else "unknown",
        "traced forward",
        tuple(f"{name} is not measured: {why}" for name, why in [*absent, *_unclear_why(unclear)]),
    )


def _stacks_of(sites: Sites) -> tuple[Stack, ...]:
    names = dict.fromkeys(block.stack for block in sites.blocks)
    return tuple(Stack(name, tuple(b.name for b in sites.blocks if b.stack == name)) for name in names)


def _block(found: LayerCall) -> Block:
    return Block(
        found.call.name,
        found.stack,
        found.layer,
        block_placement(found.flow, found.layer),
        found.flow.in_place,
        found.turn,
        found.turns,
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
    kept, ran = {block.name for block in found}, {call.name for call in trace.calls}
    missing = [b.name for b in expected if b.name not in kept and not any(k.startswith(f"{b.name}.") for k in kept)]
    return [(name, f"it {'carries no residual stream' if name in ran else 'did not run'}") for name in missing]


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
        if kinds.count(branch.kind) > 1:
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
    return taps if middle is None else [*taps, Tap(middle, "input", (block.stack, block.layer, "resid_mid"))]


def _middle_reader(trace: Trace, block: Call, flow: BlockFlow) -> str | None:
    """The first module that reads the stream between attention and MLP, when it stands between them at all."""
    if len(flow.branches) != 2 or flow.branches[0].total == flow.branches[1].total:
        return None
    middle = flow.branches[1].before
    readers = [c for c in trace.calls if block.start < c.start and c.end < block.end and c.input == middle]
    return min(readers, key=lambda c: c.start).name if readers else None


def _branch_modules(layers: list[LayerCall]) -> dict[str, dict[str, str]]:
    """For each block with one attention and one MLP the modules that compute them, before an output norm."""
    found: dict[str, dict[str, str]] = {}
    for layer in layers:
        branches = layer.flow.branches
        named = {branch.kind: branch.source for branch in branches if branch.source is not None}
        if len(branches) == len(named) == 2:
            found[layer.call.name] = named
    return found


def _branch_names(taps: tuple[Tap, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for tap in taps:
        found.setdefault(tap.name.rsplit(".", 1)[0], {})[tap.key[2].removesuffix("_out")] = tap.name
    return found


def _outer_modules(trace: Trace, blocks: list[Call]) -> dict[str, str]:
    """Modules outside the blocks: what ran before them (embed), the norm after them, and what followed (head)."""
    if not blocks:
        return {}
    start, end = min(c.start for c in blocks), max(c.end for c in blocks)
    after = sorted((c for c in trace.calls if c.start > end), key=lambda c: c.start)
    norm = next((c for c in after if is_norm(c)), None)
    outer = {c.name: "embed" for c in trace.calls if c.end < start}
    outer |= {c.name: "head" for c in after}
    return outer if norm is None else outer | {norm.name: "final_norm"}


def _groups(
    model: nn.Module, blocks: tuple[Block, ...], branches: Mapping[str, Mapping[str, str]], outer: Mapping[str, str]
) -> dict[Key, tuple[str, ...]]:
    first = {b.name: (b.stack, b.layer) for b in blocks if b.turn == 0}
    return parameter_groups(model, first, branches, outer)
