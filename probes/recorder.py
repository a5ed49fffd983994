"""Turn what hooks see into sums: one object holds the accumulators of a model and knows whether it is recording now.

What hooks run is also what a compiled graph runs, so it holds to a few rules: tensors are written in place into views
made beforehand, states are plain booleans of this object (two graphs, on and off, for any depth), and nothing is read
back from a tensor.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from depthscope.store import Massive

from .accumulate import Accumulator
from .batch import Mask, count_tokens
from .engine import Engine
from .gradtap import hear, tap
from .massive import MassiveTop, TopRow, add_top
from .metrics import Gradients, Of, Pair, Tokens
from .sites import Block, Key, Sites

__all__ = ["BlockSlot", "Recorder", "Slot"]


@dataclass(frozen=True)
class Slot:
    """What one site writes into."""

    site: str
    activations_2K: Tensor
    gradients_2K: Tensor
    pair_2K: Tensor | None
    top: TopRow | None


@dataclass
class BlockSlot:
    """The sites of one block, and the stream it was given while it runs."""

    enters: Slot | None  # layer 0, for block 1
    leaves: Slot
    pair_2K: Tensor
    copies: bool
    entered: Tensor | None = None


class Recorder:
    """Pools every tapped tensor of a step; `take` hands over the sums as one flat device tensor."""

    def __init__(self, sites: Sites, device: torch.device, failed: Callable[[str, Exception], None]) -> None:
        keys = _activation_keys(sites)
        blocks: list[Key] = [(b.stack, b.layer, "block") for b in sites.blocks]
        branches = [key for key in keys if key[2] in ("attn_out", "mlp_out")]
        self.activations = Accumulator(Of.ACTIVATION, keys, device, failed)
        self.gradients = Accumulator(Of.GRADIENT, keys, device, failed)
        self.pairs = Accumulator(Of.PAIR, [*blocks, *branches], device, failed)
        self.massive = MassiveTop([key for key in keys if key[2] == "resid_post"], device)
        self.blocks = {(b.stack, b.layer): self._block_slot(b) for b in sites.blocks}
        self.armed = False  # this step is sampled
        self.active = False  # a forward is running that counts
        self.probing = False  # and it is the held-out batch's, which has no backward
        self.unseen = True  # no eager hook has seen a forward start: tokens are counted inside the graph
        self.real_BT: Tensor | None = None
        self.restarts: list[Callable[[], None]] = []  # what counts the calls of blocks that run several times
        self._engine = Engine(failed)
        self._heard = WeakTensorKeyDictionary()
        self._on_leaves: list[RemovableHandle] = []
        self.tokens = torch.zeros((), dtype=torch.int64, device=device)
        self._failed = failed

    def slot(self, key: Key) -> Slot:
        """What one site writes into."""
        return Slot(
            site=key[2],
            activations_2K=self.activations.row(key),
            gradients_2K=self.gradients.row(key),
            pair_2K=self.pairs.row(key) if key in self.pairs.keys else None,
            top=self.massive.row(key) if key in self.massive.keys else None,
        )

    def _block_slot(self, block: Block) -> BlockSlot:
        enters = self.slot((block.stack, 0, "resid_post")) if block.layer == 1 else None
        leaves = self.slot((block.stack, block.layer, "resid_post"))
        return BlockSlot(enters, leaves, self.pairs.row((block.stack, block.layer, "block")), block.in_place)

    def begin(self, real_BT: Tensor | None, *, probing: bool = False) -> None:
        """A forward starts; it is recorded when its step is sampled or when it is the held-out batch's."""
        self.real_BT, self.probing = real_BT, probing
        self.active = self.armed or probing
        for restart in self.restarts:
            restart()

    def end(self) -> None:
        """The forward ended, by return or by exception; no activation is kept."""
        self.active, self.probing, self.real_BT = False, False, None
        for block in self.blocks.values():
            block.entered = None

    def begin_compiled(self, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Mask) -> None:
        """A training forward starts inside a compiled graph; tokens are counted where the first block reads them."""
        self.begin(mask(args, kwargs))

    def take_tokens(self) -> Tensor:
        """Tokens counted inside graphs since the last call, 0-d."""
        counted = self.tokens.clone()
        self.tokens.zero_()
        return counted

    def enter_block(self, block: BlockSlot, stream: Tensor) -> Tensor | None:
        """A block reads `stream`; for block 1 that is layer 0 of the residual stream."""
        tapped = None
        if block.enters is not None:
            if torch.compiler.is_compiling() and self.unseen:
                self.tokens.add_(count_tokens((stream,), {}, self.real_BT))
            tapped = self.see(block.enters, stream, None)
        if self.active:
            block.entered = stream.detach().clone() if block.copies else stream.detach()
        return tapped

    def leave_block(self, block: BlockSlot, stream: Tensor) -> Tensor | None:
        """A block returned `stream`."""
        entered, block.entered = block.entered, None
        if self.active and entered is not None and entered.shape == stream.shape:
            with torch.no_grad():
                self._engine(self._fold_change, block.pair_2K, entered, stream.detach(), self.real_BT)
        return self.see(block.leaves, stream, None)

    def see(self, slot: Slot, x: Tensor, block: BlockSlot | None) -> Tensor | None:
        """Pool the activations of a site, their gradient when it comes, and a branch against its block's input.

        In a compiled graph returns what must take the place of `x`, for its gradient to be heard.
        """
        if self.active:
            with torch.no_grad():
                self._pool(slot, x, block)
        if not (x.requires_grad and self._has_backward()):
            return None
        if torch.compiler.is_compiling():
            return tap(x, slot.gradients_2K, self.real_BT, self._pool_gradient)
        if self._is_news(slot, x):
            handle = hear(x, slot.gradients_2K, self.real_BT, self._pool_gradient)
            if x.is_leaf:  # a parameter outlives the step
                self._on_leaves.append(handle)
        return None

    def _is_news(self, slot: Slot, x: Tensor) -> bool:
        """Whether the gradient of `x` is not heard at this site yet.

        A checkpoint's recomputation meets its own input again: the same tensor, or a detached copy where reentrant.
        """
        if x.is_leaf and torch._C._current_graph_task_id() != -1:
            return False
        sites: set[int] = self._heard.setdefault(x, set())  # type: ignore[no-untyped-call]
        if id(slot) in sites:
            return False
        sites.add(id(slot))
        return True

    def _pool(self, slot: Slot, x: Tensor, block: BlockSlot | None) -> None:
        x, real_BT, top = x.detach(), self.real_BT, slot.top
        if top is None:
            self._engine(self._fold_branch, slot.activations_2K, x, real_BT)
        else:
            self._engine(self._fold_stream, slot.activations_2K, top.top_RF, top.count, top.sequences, x, real_BT)
        entered = None if block is None else block.entered
        if slot.pair_2K is not None and entered is not None and entered.shape == x.shape:
            self._engine(self._fold_pair, slot.pair_2K, entered, x, real_BT)

    # folds: what the engine may compile; they read tensors and write into rows, nothing else

    def _fold_branch(self, row_2K: Tensor, x: Tensor, real_BT: Tensor | None) -> None:
        self.activations.add(row_2K, Tokens(x, real_BT))

    def _fold_stream(
        self, row_2K: Tensor, top_RF: Tensor, count: Tensor, sequences: Tensor, x: Tensor, real_BT: Tensor | None
    ) -> None:
        tokens = Tokens(x, real_BT)
        self.activations.add(row_2K, tokens)
        add_top(top_RF, count, sequences, tokens)

    def _fold_pair(self, row_2K: Tensor, entered: Tensor, delta: Tensor, real_BT: Tensor | None) -> None:
        self.pairs.add(row_2K, Pair(entered, delta, real_BT))

    def _fold_change(self, row_2K: Tensor, entered: Tensor, left: Tensor, real_BT: Tensor | None) -> None:
        self.pairs.add(row_2K, Pair(entered, left - entered, real_BT))

    def _fold_gradient(self, row_2K: Tensor, grad: Tensor, real_BT: Tensor | None) -> None:
        self.gradients.add(row_2K, Gradients(grad, real_BT))

    def _has_backward(self) -> bool:
        """A recorded training forward, or a checkpoint's recomputation: its graph is the one that gets gradients."""
        if torch.compiler.is_compiling():
            return self.active and not self.probing
        return (self.active and not self.probing) or (self.armed and torch._C._current_graph_task_id() != -1)

    def _pool_gradient(self, row_2K: Tensor, grad: Tensor, real_BT: Tensor | None) -> None:
        with torch.no_grad():
            if torch.compiler.is_compiling():
                self._fold_gradient(row_2K, grad, real_BT)
                return
            try:
                self._engine(self._fold_gradient, row_2K, grad, real_BT)
            except Exception as error:
                self._failed("activation gradients", error)

    def take(self) -> Tensor:
        """All sums of the step as one flat tensor on the device; the next step starts from zero."""
        for handle in self._on_leaves:
            handle.remove()
        self._on_leaves = []
        self._heard = WeakTensorKeyDictionary()
        return torch.cat([part.take() for part in (self.activations, self.gradients, self.pairs, self.massive)])

    def combine(self, flat_Wn: Tensor) -> Tensor:
        """`[n]` out of every rank's `take`. The loss of all is the mean of the ranks', so gradients count 1/W."""
        parts: tuple[Accumulator | MassiveTop, ...] = (self.activations, self.gradients, self.pairs, self.massive)
        rows = torch.split(flat_Wn, [part.size for part in parts], dim=1)
        combined = [part.combine(part_Wn) for part, part_Wn in zip(parts, rows, strict=True)]
        self.gradients.rescale(combined[1], 1 / flat_Wn.shape[0])
        return torch.cat(combined)

    def read(self, flat: Sequence[float]) -> dict[Key, dict[str, float]]:
        """Values by site from what `take` gave, on the host."""
        values: dict[Key, dict[str, float]] = {}
        start = 0
        for part in (self.activations, self.gradients, self.pairs):
            for key, found in part.read(flat[start : start + part.size]):
                values.setdefault(key, {}).update(found)
            start += part.size
        return values

    def read_massive(self, flat: Sequence[float], step: int, phase: str) -> Iterator[Massive]:
        """The largest activations from what `take` gave, on the host."""
        start = sum(part.size for part in (self.activations, self.gradients, self.pairs))
        return self.massive.read(flat[start:], step, phase)


def _activation_keys(sites: Sites) -> list[Key]:
    """Every site whose activations are measured: the stream at layers 0..L and the tapped sites."""
    streams: list[Key] = [
        (b.stack, layer, "resid_post") for b in sites.blocks for layer in ((0, 1) if b.layer == 1 else (b.layer,))
    ]
    return list(dict.fromkeys([*streams, *(tap.key for tap in sites.taps)]))
