"""Read a traced forward: how the residual stream runs through a block, what branches add to it, where norms sit.

h ──┬─ [pre norm] ─ attention ─ [out norm] ─ + ─ [post norm] ─┬─ [pre norm] ─ mlp ─ [out norm] ─ + ─ [post norm] ── h'
    └────────────── [carry scale] ──────────┘                └────────────── [carry scale] ─────┘
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from .trace import Call, Node, Op, Trace

__all__ = ["BlockFlow", "Branch", "block_flow", "is_norm", "is_norm_module"]

_MIXER_WORDS = ("attn", "attention", "mixer", "mamba", "rwkv", "time_mix")
_CROSS_WORDS = ("cross", "encoder_attn", "encdec", "multihead_attn", "inter_attention", "src_attn")
_MLP_WORDS = ("mlp", "ffn", "ff", "feed_forward", "feedforward", "fc", "moe", "expert", "dense", "output", "linear")


@dataclass(frozen=True)
class Branch:
    """One residual addition of a block."""

    kind: str  # 'attn', 'cross' (attention to another sequence), 'mlp', or 'block' where it is the block as a whole
    module: str | None  # whose output is what is added; None when what is added is no module's output
    source: str | None  # the module that computes the branch, before an output norm
    raw_norm: str | None  # the norm between branch and addition, where there is one: its input is the raw branch
    pre_norm: bool  # the branch reads norm(stream)
    pre_scale: float | None  # what norm(stream) is multiplied with before the branch reads it
    post_norm: str | None  # the norm applied to the sum
    carry_scale: float | None  # what the stream is multiplied with before the sum
    before: Node  # the stream the branch is added to
    total: Node  # the sum
    reads_stream: bool = False  # with nothing in between, so that it is known to have no norm before it
    attends_across: bool = False  # its module is called cross-attention
    reads_normed: bool = False  # it reads the stream itself, which is a norm's output when it enters the block
    sums: int = 1  # additions its output goes into: more than one where the block carries several streams


@dataclass(frozen=True)
class BlockFlow:
    """The residual additions of one block in order, or none of them when the stream could not be followed."""

    branches: tuple[Branch, ...]
    in_place: bool  # the block overwrites its own input
    entry_norm: bool = False  # the block first replaces the stream by its norm, before any branch


@dataclass(frozen=True)
class _Joined:
    """A residual addition on the way from block input to output, with what happens to its sum afterwards."""

    before: Node
    branch: Node
    total: Node
    carry_scale: float | None
    post_norm: str | None = None


def is_norm(call: Call) -> bool:
    """Whether a module is a normalisation: one tensor in, one of the same shape out."""
    return is_norm_module(call.module) and call.input is not None and call.output is not None


def is_norm_module(module: nn.Module) -> bool:
    """Whether a module is named a norm and has no weights but vectors: what follows a norm (PreNorm) has others.

    What holds a norm and is given more than one thing adds them up first (DeepNorm), and is none.
    """
    if any(is_norm_module(child) for child in module.children()) and _required(type(module).forward) > 2:
        return False
    vectors = all(p.numel() == max(p.shape, default=1) for p in module.parameters())
    return "norm" in type(module).__name__.lower() and (vectors or isinstance(module, nn.LayerNorm))


def _required(function: Callable[..., Any]) -> int:
    """How many arguments it must be given, self among them."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def block_flow(trace: Trace, block: Call) -> BlockFlow:
    """Follow the stream of one block call backwards from its output to its input."""
    inner = [c for c in trace.calls if block.start < c.start and c.end < block.end]
    reader = _Reader(trace, block, inner)
    joins = reader.path(block.output) if block.input and block.output else None
    # More than two additions means that the rule met something it does not know.
    if not joins or len(joins) > 3:
        return BlockFlow((), False)
    branches = [b for i, join in enumerate(joins) for b in reader.branches(join, i, joins)]
    in_place = any(join.total[0] == block.input[0] for join in joins) if block.input else False
    return BlockFlow(tuple(_told_apart(branches)), in_place, reader.has_norm_before(joins[0]))


class _Reader:
    """The lookups one block needs; holds nothing beyond the analysis."""

    def __init__(self, trace: Trace, block: Call, inner: list[Call]) -> None:
        self.made, self.block, self.inner = trace.made, block, inner
        self.norms = {c.output: c for c in inner if is_norm(c) and c.output is not None}
        self.enters_normed = _is_normed(trace, block)

    def path(self, node: Node | None) -> list[_Joined] | None:
        """The residual additions from the block's input to `node`; None when `node` does not carry the stream."""
        if node is None:
            return None
        if node == self.block.input:
            return []
        norm = self.norms.get(node)
        if norm is not None:
            return self._normed(self.path(norm.input), norm.name)
        op = self.made.get(node)
        if op is None:
            return None
        if op.kind == "add":
            return self._added(node, op)
        if op.kind == "minus":
            return self._less(op)
        if op.kind == "norm":
            return self._normed(self.path(op.inputs[0]), "")
        return self.path(op.inputs[0])

    def _normed(self, joins: list[_Joined] | None, name: str) -> list[_Joined] | None:
        """A norm on the carried stream belongs to the addition before it; before any, to the block's entry."""
        if joins is None:
            return None
        if not joins:
            return []
        last = joins[-1]
        return [*joins[:-1], _Joined(last.before, last.branch, last.total, last.carry_scale, name)]

    def has_norm_before(self, first: _Joined) -> bool:
        """Whether the stream is replaced by its norm between the block's input and the first addition."""
        node = first.before
        while node != self.block.input:
            norm, op = self.norms.get(node), self.made.get(node)
            if norm is not None or op is None or op.kind == "norm":
                return True
            node = op.inputs[0]
        return False

    def _added(self, node: Node, op: Op) -> list[_Joined] | None:
        first, second = op.inputs
        left, right = self.path(first), self.path(second)
        if (left is None) == (right is None):
            return None
        carry, branch, joins = (first, second, left) if left is not None else (second, first, right)
        assert joins is not None
        return [*joins, _Joined(carry, branch, node, self._scale_of(carry))]

    def _less(self, op: Op) -> list[_Joined] | None:
        """The stream less a share of itself, as a gate on it does (GPAS, arXiv 2506.22049); else no stream any more."""
        joins = self.path(op.inputs[0])
        return joins if joins is not None and joins == self.path(op.inputs[1]) else None

    def _scale_of(self, node: Node) -> float | None:
        op = self.made.get(node) if node != self.block.input else None
        return op.scale if op is not None and op.kind == "scale" else None

    def branches(self, join: _Joined, index: int, joins: list[_Joined]) -> list[Branch]:
        """The branch, or both where attention and MLP run in parallel and are summed before they join the stream."""
        op = self.made.get(join.branch)
        parallel = op is not None and op.kind == "add" and self._module(join.branch) is None
        nodes = op.inputs if parallel and op is not None else (join.branch,)
        return [self._branch(join, node, index + i, joins) for i, node in enumerate(nodes)]

    def _branch(self, join: _Joined, node: Node, index: int, joins: list[_Joined]) -> Branch:
        module, norm = self._module(node), self.norms.get(node)
        source = self._source(node if norm is None or norm.input is None else norm.input)
        pre_norm, pre_scale = self._pre_norm(join, source, joins)
        return Branch(
            kind=_kind(source, self.block, index),
            module=None if module is None else module.name,
            source=None if source is None else source.name,
            raw_norm=None if norm is None else norm.name,
            pre_norm=pre_norm,
            pre_scale=pre_scale,
            post_norm=join.post_norm,
            carry_scale=join.carry_scale,
            before=join.before,
            total=join.total,
            reads_stream=source is not None and self.path(source.input) is not None,
            attends_across=source is not None and _is_cross(source, self.block),
            reads_normed=self.enters_normed and join.before == self.block.input,
            sums=sum(op.kind == "add" and node in op.inputs for op in self.made.values()),
        )

    def _module(self, node: Node) -> Call | None:
        """The outermost module inside the block whose output is this very tensor."""
        made = [c for c in self.inner if c.output == node and c.input != node]
        return min(made, key=lambda c: c.start, default=None)

    def _source(self, node: Node) -> Call | None:
        """The module that computes a branch, looking through a scale between it and the sum."""
        while self._module(node) is None:
            op = self.made.get(node)
            if op is None or op.kind not in ("scale", "same"):
                return None
            node = op.inputs[0]
        return self._module(node)

    def _pre_norm(self, join: _Joined, source: Call | None, joins: list[_Joined]) -> tuple[bool, float | None]:
        """Whether the branch reads a norm of the stream that does not become the stream itself, and its scale.

        What the branch's module was called with tells; else any norm that reads the stream where the branch leaves it.
        """
        carried = {j.before for j in joins} | {j.total for j in joins} | {self.block.output}
        carried |= {self._through_scale(j.before)[1] for j in joins}  # DeepNorm's branch reads what is scaled there
        normed = {node: call.input for node, call in self.norms.items()}
        normed |= {node: op.inputs[0] for node, op in self.made.items() if op.kind == "norm"}
        scale, read = self._through_scale(source.input if source is not None else None)
        if read in normed and read not in carried and self.path(normed[read]) is not None:
            return True, scale
        stands = join.before if join.before == self.block.input else self._through_scale(join.before)[1]
        found = [node for node, reads in normed.items() if reads == stands and node not in carried]
        scales = [op.scale for op in self.made.values() if op.kind == "scale" and op.inputs[0] in found]
        return bool(found), scales[0] if scales else None

    def _through_scale(self, node: Node | None) -> tuple[float | None, Node | None]:
        op = self.made.get(node) if node is not None and node not in self.norms else None
        return (op.scale, op.inputs[0]) if op is not None and op.kind == "scale" else (None, node)


def _is_normed(trace: Trace, block: Call) -> bool:
    """Whether the stream that enters the block is the output of a norm outside it."""
    made = trace.made.get(block.input) if block.input is not None else None
    while made is not None and made.kind == "same":
        made = trace.made.get(made.inputs[0])
    before = [c for c in trace.calls if c.end < block.start and c.output == block.input]
    return any(is_norm(call) for call in before) or (made is not None and made.kind == "norm")


def _kind(source: Call | None, block: Call, index: int) -> str:
    """What a branch is by the words in the module's path inside the block, then in its class, else by order."""
    if source is not None:
        for words in (source.name.removeprefix(block.name).lower(), type(source.module).__name__.lower()):
            if any(word in words for word in _MIXER_WORDS):
                return "attn"
            if any(word in words for word in _MLP_WORDS):
                return "mlp"
        if source.name == block.name:
            return "block"
    return "attn" if index == 0 else "mlp"


def _is_cross(source: Call, block: Call) -> bool:
    words = f"{source.name.removeprefix(block.name)} {type(source.module).__name__}".lower()
    return any(word in words for word in _CROSS_WORDS)


def _told_apart(branches: list[Branch]) -> list[Branch]:
    """A decoder's second attention, where exactly one of two is called so; any other pair stays two of a kind."""
    attending = [branch for branch in branches if branch.kind == "attn"]
    across = [branch for branch in attending if branch.source is not None and branch.attends_across]
    if len(attending) != 2 or len(across) != 1:
        return branches
    return [replace(branch, kind="cross") if branch is across[0] else branch for branch in branches]
