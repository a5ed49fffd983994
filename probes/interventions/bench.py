"""Run a model with blocks skipped, repeated or silenced, each from the first block that differs.

A first forward on a piece of the held-out batches keeps what every block was given and returned; after it, blocks
before the first changed one hand that out again instead of running (prefix reuse). Whatever ran before a changed block
cannot depend on it, so this holds for any model: encoders and decoders, towers, blocks that share weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError

from ..batch import default_mask
from ..sites import Sites
from ..tensors import first_stream
from .blockcall import BlockCall, Kept, stream_in, with_output
from .cost import NOTHING, Cost
from .holdout import Holdout, Losses, joined, piece_losses, pieces
from .patch import heard_arguments, silenced, standing_in
from .program import UNCHANGED, LayerKey, Program
from .split import sequences

__all__ = ["Bench", "Observer", "Reader", "Run"]

Reader = Callable[[nn.Module, Any], Any]
"""From the model and a piece to what is wanted of a forward."""
Observer = Callable[[BlockCall, Tensor], None]
"""Told of every block that ran: its call and the stream it returned."""
Run = Callable[..., Any]
"""`run(program, observer=None)`: what the reader makes of a changed forward on the piece at hand."""


class Bench:
    """Runs programs on one model, which is patched only inside `on`.

    `layers` are its blocks; `spent` counts what was run, in passes over all held-out sequences.
    """

    def __init__(
        self, model: nn.Module, sites: Sites, holdout: Holdout, advance: Callable[[Cost], None] = lambda cost: None
    ) -> None:
        blocks = [b for b in sites.blocks if b.enters == (b.name, "input") and b.leaves == (b.name, "output")]
        if not blocks:
            raise DepthscopeError(
                "expected blocks that are given the stream and return it, to leave them out; this model adds up its "
                "stream outside of its blocks"
            )
        self.layers: tuple[LayerKey, ...] = tuple((b.stack, b.layer) for b in blocks)
        self.branches = _branches(sites)
        self.spent = NOTHING
        self._model, self._holdout, self._advance = model, holdout, advance
        self._blocks = {(b.name, b.turn): (b.stack, b.layer) for b in blocks}
        self._total = sum(sequences(batch) for batch in holdout.batches)
        self._forward = _Forward(UNCHANGED)
        self._kept: dict[LayerKey, Kept] = {}
        self._real_BT: Tensor | None = None

    def settle(self) -> float:
        """Run the first piece once, keep the layers that can be left out, and return the blocks' share of its time.

        Raises DepthscopeError where there is none.
        """
        piece = next(pieces(self._holdout))
        began = perf_counter()
        with self.on(piece, lambda model, batch: piece_losses(model, batch, self._holdout.loss_fn)):
            took, inside = perf_counter() - began, self._forward.seconds
            self.layers = tuple(layer for layer in self.layers if self.changeable(layer))
        if not self.layers:
            raise DepthscopeError("expected blocks that return what they are given in shape, found none to leave out")
        self.branches = {key: name for key, name in self.branches.items() if key[0] in self.layers}
        return min(1.0, inside / took)

    def losses(self, programs: Sequence[Program], holdout: Holdout | None = None) -> tuple[Losses, list[Losses]]:
        """The losses of the untouched model and of each program, on the same sequences."""
        chosen = holdout or self._holdout
        found: list[list[Losses]] = [[] for _ in range(len(programs) + 1)]
        for piece in pieces(chosen):
            with self.on(piece, lambda model, batch: piece_losses(model, batch, chosen.loss_fn)) as (base, run):
                for losses, each in zip(found, [base, *map(run, programs)], strict=True):
                    losses.append(each)
        base, *changed = [joined(parts) for parts in found]
        return base, changed

    @contextmanager
    def on(self, piece: Any, reader: Reader, observer: Observer | None = None) -> Iterator[tuple[Any, Run]]:
        """Run the model on `piece` and keep its blocks' states; yields what `reader` makes of it, and `run`."""
        share = sequences(piece) / self._total

        def run(program: Program, observer: Observer | None = None) -> Any:
            self._forward = _Forward(program, observer, min(map(self._place, program.changed), default=0))
            found = reader(self._model, piece)
            self._finished(share)
            return found

        with self._patched():
            try:
                self._kept = {}
                self._forward = _Forward(UNCHANGED, observer, keeps=True)
                base = reader(self._model, piece)
                self._finished(share)
                yield base, run
            finally:
                self._kept = {}

    def changeable(self, layer: LayerKey) -> bool:
        """Whether the block ran on the piece at hand and returns what it is given in shape: it can be left out."""
        return layer in self._kept and self._kept[layer].keeps_shape

    @contextmanager
    def _patched(self) -> Iterator[None]:
        model = self._model
        with ExitStack() as stack:
            names = {name for name, _ in self._blocks}
            stack.enter_context(standing_in({name: model.get_submodule(name) for name in names}, self._stand_in))
            inner = {name: model.get_submodule(name) for name in self.branches.values()}
            stack.enter_context(silenced(inner, self._is_silent))
            stack.enter_context(heard_arguments(model, self._hear))
            yield

    def _hear(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._real_BT = default_mask(args, kwargs)

    def _place(self, layer: LayerKey) -> int:
        """Where in the order of execution a layer stands."""
        if not self.changeable(layer):
            raise DepthscopeError(f"expected block {layer[1]} of {layer[0]} to run and keep its stream's shape")
        return list(self._kept).index(layer)

    def _finished(self, share: float) -> None:
        forward = self._forward
        if forward.silenced != len(forward.program.zeroed):
            raise DepthscopeError(
                f"expected {len(forward.program.zeroed)} branches to be zeroed, but {forward.silenced} ran; "
                "name them with sites={'attn': ..., 'mlp': ...}"
            )
        cost = Cost(share, forward.executed * share)
        self.spent += cost
        self._advance(cost)

    def _stand_in(self, name: str, own: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In place of a block's forward."""
        layer = self._blocks.get((name, self._forward.turn(name)))
        stream = first_stream((args, kwargs))
        if layer is None or stream is None:
            return own(*args, **kwargs)
        real_BT = self._real_BT
        if real_BT is not None and real_BT.shape != stream.shape[:2]:
            real_BT = None
        call = BlockCall(layer, self._forward.counted(layer, own), args, kwargs, stream, real_BT)
        return self._keep(call) if self._forward.keeps else self._answer(call)

    def _keep(self, call: BlockCall) -> Any:
        """The block's own output, remembered."""
        before = call.stream.clone()
        output = call()
        if first_stream(output) is not None:
            self._kept[call.layer] = Kept(before, with_output(output, stream_in(output).clone()))
            self._forward.observe(call, before, output)
        return output

    def _answer(self, call: BlockCall) -> Any:
        """The block's output under the running program: from memory, left out, or run once or twice."""
        kept, program = self._kept[call.layer], self._forward.program
        if list(self._kept).index(call.layer) < self._forward.first:
            return kept.again()
        before = call.stream.clone()
        if call.layer in program.skipped:
            output = kept.passed_on(before) if program.tokens is None else _partly(call, before, program.tokens)
        else:
            output = call()
            if call.layer in program.repeated:
                output = call(stream_in(output))
        self._forward.observe(call, before, output)
        return output

    def _is_silent(self, name: str) -> bool:
        inside, zeroed = self._forward.inside, self._forward.program.zeroed
        silent = any(layer == inside and self.branches.get((layer, site)) == name for layer, site in zeroed)
        self._forward.silenced += silent
        return silent


class _Forward:
    """One forward: its program, the block it runs from, and what has happened in it."""

    def __init__(
        self, program: Program, observer: Observer | None = None, first: int = 0, *, keeps: bool = False
    ) -> None:
        self.program, self.first, self.keeps = program, first, keeps
        self._observer = observer
        self.executed = self.silenced = 0
        self.seconds = 0.0  # inside blocks
        self.inside: LayerKey | None = None
        self._turns: dict[str, int] = {}

    def turn(self, name: str) -> int:
        """How often the block has been called before."""
        self._turns[name] = self._turns.get(name, -1) + 1
        return self._turns[name]

    def counted(self, layer: LayerKey, own: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            self.executed += 1
            self.inside, began = layer, perf_counter()
            try:
                return own(*args, **kwargs)
            finally:
                self.inside = None
                self.seconds += perf_counter() - began

        return forward

    def observe(self, call: BlockCall, before: Tensor, output: Any) -> None:
        if self._observer is not None:
            seen = BlockCall(call.layer, call.forward, call.args, call.kwargs, before, call.real_BT)
            self._observer(seen, stream_in(output))


def _partly(call: BlockCall, before_BTD: Tensor, tokens: int) -> Any:
    """The block left out for the first tokens of every sequence only."""
    output = call(before_BTD.clone())
    return with_output(output, torch.cat([before_BTD[..., :tokens, :], stream_in(output)[..., tokens:, :]], dim=-2))


def _branches(sites: Sites) -> dict[tuple[LayerKey, str], str]:
    """(layer, attn_out or mlp_out) -> the module whose zero output means that the branch adds nothing.

    Where a branch is scaled on its way to the sum, that is the module before the scale.
    """
    found: dict[tuple[LayerKey, str], str] = {}
    for at in ("_raw", "_out"):  # an _out takes the place of a _raw
        for tap in sites.taps:
            stack, layer, site = tap.key
            if tap.at == "output" and site.endswith(at) and layer is not None:
                found[(stack, layer), site.removesuffix(at) + "_out"] = tap.name
    return found
