"""The residual stream where it runs outside the blocks: the model itself adds what they return.

    s0 ──┬─ [norm] ─ block 1 ─ + ── s1 ──┬─ [norm] ─ block 2 ─ + ── s2        (a block may be several modules in turn)
         └─────────────────────┘         └─────────────────────┘

What such blocks return is a branch and never the stream. The stream is found at the additions, and measured at the
module that reads it next; where no module does, it is not measured.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .flow import is_norm
from .trace import Call, Node, Trace

__all__ = ["Group", "Place", "Trunk", "adds_around", "find_trunk", "linked", "places"]

Place = tuple[str, str]
"""A module's name and which side of it: 'input' or 'output'."""

Group = Sequence[Call]
"""The calls that make one layer, in order."""

Trunk = tuple[Node, ...]
"""The stream before the first layer and after each of them."""


@dataclass(frozen=True)
class _Joined:
    """An addition of what layer `layer` (from 0) computed to the stream."""

    layer: int
    carry: Node
    total: Node


def find_trunk(trace: Trace, groups: Sequence[Group]) -> Trunk | None:
    """The stream around `groups`, None when it is not one chain of additions or calls through all of them."""
    return _passed_on(groups) or _added(_Past(trace, groups), groups)


def adds_around(trace: Trace, calls: Sequence[Call]) -> bool:
    """Whether the model adds to what each of these blocks returns what it was given: its stream is not their output."""
    past = _Past(trace, ())
    sums = [{end for node in op.inputs for end in past.behind(node)} for op in trace.made.values() if op.kind == "add"]
    return bool(calls) and all(any({call.input, call.output} <= ends for ends in sums) for call in calls)


def linked(trace: Trace, calls: Sequence[Call]) -> bool:
    """Whether each call reads what the one before returned, all of one shape: the stream, understood or not."""
    past = _Past(trace, ())
    return len({shape for call in calls for shape in call.shapes}) == 1 and all(
        second.input is not None and first.output in past.behind(second.input) for first, second in pairwise(calls)
    )


def _passed_on(groups: Sequence[Group]) -> Trunk | None:
    """Each layer's last call returns what the next one's first is given: the parts of a layer carry the stream."""
    if not all(groups) or any(a[-1].output != b[0].input for a, b in pairwise(groups)):
        return None
    nodes = [groups[0][0].input, *(group[-1].output for group in groups)]
    inside = all(a.output == b.input for group in groups for a, b in pairwise(group))
    known = [node for node in nodes if node is not None]
    return tuple(known) if inside and len(known) == len(nodes) else None


def _added(past: "_Past", groups: Sequence[Group]) -> Trunk | None:
    joins = past.joins()
    if [*dict.fromkeys(join.layer for join in joins)] != list(range(len(groups))):
        return None
    if any(before.total not in past.behind(after.carry) for before, after in pairwise(joins)):
        return None
    firsts = [next(join for join in joins if join.layer == layer) for layer in range(len(groups))]
    entered = [past.unscaled(join.carry) for join in firsts]
    return (*entered, past.after(joins, entered))


class _Past:
    """What each node of a trace was made of; holds nothing beyond one search."""

    def __init__(self, trace: Trace, groups: Sequence[Group]) -> None:
        self.made = trace.made
        norms = [call for call in trace.calls if is_norm(call) and call.output != call.input]
        self.normed = {call.output: call.input for call in norms if call.output is not None and call.input is not None}
        self.made_by = {call.output: layer for layer, group in enumerate(groups) for call in group}
        self.layers: dict[Node, int | None] = {}

    def behind(self, node: Node) -> list[Node]:
        """`node` and what it was made of by copies, scales and norms, newest first."""
        found = [node]
        while True:
            op = self.made.get(found[-1])
            before = self.normed.get(found[-1]) or (op.inputs[0] if op is not None and op.kind != "add" else None)
            if before is None or before in found:
                return found
            found.append(before)

    def joins(self) -> list[_Joined]:
        """The additions of a layer's branch to something else, in the order in which they happened."""
        found = []
        for total, op in self.made.items():
            sides = [self.layer(node) for node in op.inputs] if op.kind == "add" else [None, None]
            for branch, layer in enumerate(sides):
                if layer is not None and sides[1 - branch] is None:
                    found.append(_Joined(layer, op.inputs[1 - branch], total))
        return found

    def layer(self, node: Node) -> int | None:
        """The layer that computed `node`, alone or as the sum of its branches; None for the stream and all else."""
        if node not in self.layers:
            self.layers[node] = self._layer(node)
        return self.layers[node]

    def _layer(self, node: Node) -> int | None:
        for each in self.behind(node):
            if each in self.made_by:
                return self.made_by[each]
            op = self.made.get(each)
            if op is not None and op.kind == "add":
                sides = {self.layer(part) for part in op.inputs}
                return sides.pop() if len(sides) == 1 else None
        return None

    def unscaled(self, node: Node) -> Node:
        op = self.made.get(node)
        return op.inputs[0] if op is not None and op.kind == "scale" else node

    def after(self, joins: Sequence[_Joined], entered: Sequence[Node]) -> Node:
        """The stream after the last layer: the last sum, or its norm where the sums before it went through one too."""
        last = joins[-1].total
        totals = {join.layer: join.total for join in joins}
        if len(entered) < 2 or any(node == totals[layer] for layer, node in enumerate(entered[1:])):
            return last
        normed = [node for node, before in self.normed.items() if before == last]
        normed += [node for node, op in self.made.items() if op.kind == "norm" and op.inputs[0] == last]
        return next(iter(normed), last)


def places(trace: Trace, trunk: Trunk) -> list[Place | None]:
    """Where each node of the trunk can be measured: at the first module that reads it, or that returned it."""
    return [_place(trace, node) for node in trunk]


def _place(trace: Trace, node: Node) -> Place | None:
    once = {name for name, count in Counter(call.name for call in trace.calls).items() if count == 1 and name}
    # Dropout passes its input on while the model is traced, and not while it trains: only what comes after it counts.
    passed = [call.end for call in trace.calls if call.input == call.output == node]
    since = max(passed, default=0)
    calls = [call for call in trace.calls if call.name in once and call.input != call.output]
    reads = sorted((call for call in calls if call.input == node and call.start > since), key=lambda call: call.start)
    if reads:
        return reads[0].name, "input"
    returns = sorted((call for call in calls if call.output == node and call.end > since), key=lambda call: call.end)
    return (returns[-1].name, "output") if returns else None
