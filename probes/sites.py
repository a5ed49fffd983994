"""Where a model is measured: which modules carry which site of which layer, and which parameters belong to it.

What the structure tells (the blocks) is known at once; a traced forward on a small slice adds the branches, the norms
and their placement. A site that neither shows is absent, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from depthscope.store import DepthscopeError

from .blocks import find_stacks
from .flow import BlockFlow, block_flow, is_norm
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
    """One block: its qualified name, depth (from 1), norm placement and whether it overwrites its own input."""

    name: str
    stack: str
    layer: int
    placement: str = "unknown"
    in_place: bool = False


@dataclass(frozen=True)
class Sites:
    """Everything `watch` measures on a model."""

    blocks: tuple[Block, ...]
    taps: tuple[Tap, ...]
    parameters: Mapping[Key, tuple[str, ...]]
    placement: str = "unknown"
    how: str = "structure"

    def __str__(self) -> str:
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
    stacks = find_stacks(model, named.get("blocks"))
    blocks = tuple(Block(name, s.name, i) for s in stacks for i, name in enumerate(s.blocks, start=1))
    taps = tuple(
        tap for kind in ("attn", "mlp") if kind in named for tap in _named_taps(model, blocks, kind, named[kind])
    )
    return Sites(blocks, taps, _groups(model, blocks, _branch_names(taps), {}), how="names" if taps else "structure")


def trace_sites(model: nn.Module, sites: Sites, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sites:
    """`sites` with branches, placement and outer modules, from one traced forward. Raises what the model raises."""
    trace = trace_forward(model, args, kwargs)
    calls = {call.name: call for call in trace.calls}
    flows = {b.name: block_flow(trace, calls[b.name]) for b in sites.blocks if b.name in calls}
    blocks = tuple(_placed(block, flows.get(block.name)) for block in sites.blocks)
    taps = sites.taps or tuple(
        t for b in blocks if b.name in flows for t in _taps(trace, b, calls[b.name], flows[b.name])
    )
    outer = _outer_modules(trace, [calls[b.name] for b in blocks if b.name in calls])
    parameters = _groups(model, blocks, _branch_modules(blocks, flows), outer)
    placements = {model_placement([b.placement for b in blocks if b.stack == s]) for s in {b.stack for b in blocks}}
    placement = placements.pop() if len(placements) == 1 else "unknown"
    return replace(sites, blocks=blocks, taps=taps, parameters=parameters, placement=placement, how="traced forward")


def _placed(block: Block, flow: BlockFlow | None) -> Block:
    if flow is None:
        return block
    return replace(block, placement=block_placement(flow, block.layer), in_place=flow.in_place)


def _named_taps(model: nn.Module, blocks: tuple[Block, ...], kind: str, child: str) -> list[Tap]:
    modules = dict(model.named_modules())
    taps = [Tap(f"{block.name}.{child}", "output", (block.stack, block.layer, f"{kind}_out")) for block in blocks]
    missing = next((tap.name for tap in taps if tap.name not in modules), None)
    if missing is not None:
        raise DepthscopeError(f"expected sites[{kind!r}] to name a module inside every block, found no {missing!r}")
    return taps


def _taps(trace: Trace, block: Block, call: Call, flow: BlockFlow) -> list[Tap]:
    """The branch sites of one block; a kind that occurs twice (two MLPs) is left out rather than mixed."""
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
    middle = _middle_reader(trace, call, flow)
    return taps if middle is None else [*taps, Tap(middle, "input", (block.stack, block.layer, "resid_mid"))]


def _middle_reader(trace: Trace, block: Call, flow: BlockFlow) -> str | None:
    """The first module that reads the stream between attention and MLP, when it stands between them at all."""
    if len(flow.branches) != 2 or flow.branches[0].total == flow.branches[1].total:
        return None
    middle = flow.branches[1].before
    readers = [c for c in trace.calls if block.start < c.start and c.end < block.end and c.input == middle]
    return min(readers, key=lambda c: c.start).name if readers else None


def _branch_modules(blocks: tuple[Block, ...], flows: Mapping[str, BlockFlow]) -> dict[str, dict[str, str]]:
    """For each block with one attention and one MLP the modules that compute them, before an output norm."""
    found: dict[str, dict[str, str]] = {}
    for block in blocks:
        branches = flows[block.name].branches if block.name in flows else ()
        named = {branch.kind: branch.source for branch in branches if branch.source is not None}
        if len(branches) == len(named) == 2:
            found[block.name] = named
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
    return parameter_groups(model, {b.name: (b.stack, b.layer) for b in blocks}, branches, outer)
