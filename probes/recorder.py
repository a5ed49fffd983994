"""Turn what hooks see into sums: one object holds the accumulators of a model and knows whether it is recording now.

What hooks run is also what a compiled graph runs, so it holds to a few rules: tensors are written in place into views
made beforehand, states are plain booleans of this object (two graphs, on and off, for any depth), and nothing is read
back from a tensor. In eager mode what a block's sites showed waits for the block to return, and is folded in one call.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from depthscope.store import Massive

from .accumulate import Accumulator
from .batch import Mask, count_tokens
from .choice import STANDARD, Choice
from .distributed import whole
from .engine import Engine
from .gradtap import hear, tap
from .massive import MassiveTop, add_top
from .metrics import Gradients, Of, Pair, Tokens
from .norms import PendingNorms
from .sites import Block, Key, Sites
from .slots import BlockSlot, Seen, Slot

__all__ = ["Recorder"]


class Recorder:
    """Pools every tapped tensor of a step; `take` hands over the sums as one flat device tensor."""

    def __init__(
        self, sites: Sites, device: torch.device, failed: Callable[[str, Exception], None], choice: Choice = STANDARD
    ) -> None:
        keys = _activation_keys(sites)
        blocks: list[Key] = [(b.stack, b.layer, "block") for b in sites.blocks]
        branches = [key for key in keys if key[2] in ("attn_out", "mlp_out")]
        self.activations = Accumulator(choice.of(Of.ACTIVATION), keys, device, failed)
        self.gradients = Accumulator(choice.of(Of.GRADIENT), keys, device, failed)
        self.pairs = Accumulator(choice.of(Of.PAIR), [*blocks, *branches], device, failed)
        tops = [key for key in keys if key[2] == "resid_post" and "abs_max" in choice.metrics]
        self.massive = MassiveTop(tops, device)
        self._elements = choice.elements
        self.blocks = {(b.stack, b.layer): self._block_slot(b) for b in sites.blocks}
        self.armed = False  # this step is sampled
        self.active = False  # a forward is running that counts
        self.probing = False  # and it is the held-out batch's, which has no backward
        self.unseen = True  # no eager hook has seen a forward start: tokens are counted inside the graph
        self.real_BT: Tensor | None = None
        self.restarts: list[Callable[[], None]] = []  # what counts the calls of blocks that run several times
        self._engine = Engine(failed)
        self._norms = PendingNorms(self.gradients)
        self._steady: set[int] = set()  # sites that kept what they showed until their block returned
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
            pair_2K=self.pairs.row(key),
            top=self.massive.row(key),
        )

    def _block_slot(self, block: Block) -> BlockSlot:
        enters = self.slot((block.stack, 0, "resid_post")) if block.layer == 1 else None
        leaves = self.slot((block.stack, block.layer, "resid_post"))
        return BlockSlot(enters, leaves, self.pairs.row((block.stack, block.layer, "block")), block.in_place)

    def begin(self, real_BT: Tensor | None, *, probing: bool = False) -> None:
        """A forward starts; it is recorded when its step is sampled or when it is the held-out batch's."""
        self.real_BT, self.probing = real_BT, probing
        self.active = self.armed or probing
        self._norms.fold()  # the backward before this forward is over
        for restart in self.restarts:
            restart()

    def end(self) -> None:
        """The forward ended, by return or by exception; no activation is kept."""
        self.active, self.probing, self.real_BT = False, False, None
        for block in self.blocks.values():
            block.entered = None
            block.waiting.clear()

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
            entered = whole(stream.detach())
            block.entered = entered.clone() if block.copies else entered
        return tapped

    def leave_block(self, block: BlockSlot, stream: Tensor) -> Tensor | None:
        """A block returned `stream`."""
        entered, block.entered = block.entered, None
        if self.active:
            with torch.no_grad():
                left = whole(stream.detach())
                seen = [*self._kept(block, entered), self._seen(block.leaves, left, None)]
                changed = block.pair_2K if entered is not None and entered.shape == stream.shape else None
                self._engine(self._fold, seen, entered, changed, self.real_BT)
        return self._listen(block.leaves, stream)

    def _kept(self, block: BlockSlot, entered: Tensor | None) -> list[Seen]:
        """What the block's sites showed and left as it was, to be folded now."""
        if not block.waiting:
            return []
        waiting, kept = list(block.waiting), []
        block.waiting.clear()
        for slot, x, version in waiting:
            unchanged, waited = x._version == version, id(slot) in self._steady
            if unchanged and waited:
                kept.append(self._seen(slot, x, entered))
            elif unchanged:
                self._steady.add(id(slot))
            elif waited:
                self._steady.discard(id(slot))
                message = f"its content was changed in place, so {slot.site} lacks one forward"
                self._failed(f"a site of {slot.site}", RuntimeError(message))
        return kept

    def see(self, slot: Slot, x: Tensor, block: BlockSlot | None) -> Tensor | None:
        """Pool the activations of a site, their gradient when it comes, and a branch against its block's input.

        In a compiled graph returns what must take the place of `x`, for its gradient to be heard.
        """
        if self.active:
            with torch.no_grad():
                self._show(slot, whole(x.detach()), block)
        return self._listen(slot, x)

    def _show(self, slot: Slot, x: Tensor, block: BlockSlot | None) -> None:
        """Fold `x` now, or when its block returns; at once where nobody knows yet that it stays as it is till then."""
        if block is None or torch.compiler.is_compiling():
            entered = None if block is None else block.entered
            self._engine(self._fold, [self._seen(slot, x, entered)], entered, None, self.real_BT)
            return
        block.waiting.append((slot, x, x._version))
        if id(slot) not in self._steady:
            self._engine(self._fold, [self._seen(slot, x, block.entered)], block.entered, None, self.real_BT)

    def _listen(self, slot: Slot, x: Tensor) -> Tensor | None:
        """Hear of the gradient of `x`; in a compiled graph returns what must take its place."""
        if slot.gradients_2K is None or not (x.requires_grad and self._has_backward()):
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

    def _seen(self, slot: Slot, x: Tensor, entered: Tensor | None) -> Seen:
        branch = entered is not None and entered.shape == x.shape
        return Seen(x, slot.activations_2K, slot.top, slot.pair_2K if branch else None)

    def _fold(
        self, seen: list[Seen], entered: Tensor | None, changed_2K: Tensor | None, real_BT: Tensor | None
    ) -> None:
        """What the engine may compile: reads tensors and writes into rows. The last one seen is the block's output."""
        for x, activations_2K, top, pair_2K in seen:
            if activations_2K is not None:
                tokens = Tokens(x, real_BT, self._elements)
                self.activations.add(activations_2K, tokens)
                if top is not None:
                    add_top(top, tokens)
            if pair_2K is not None and entered is not None:
                self.pairs.add(pair_2K, Pair(entered, x, real_BT))
        if changed_2K is not None and entered is not None:
            self.pairs.add(changed_2K, Pair(entered, seen[-1].x - entered, real_BT))

    def _has_backward(self) -> bool:
        """A recorded training forward, or a checkpoint's recomputation: its graph is the one that gets gradients."""
        if torch.compiler.is_compiling():
            return self.active and not self.probing
        return (self.active and not self.probing) or (self.armed and torch._C._current_graph_task_id() != -1)

    def _pool_gradient(self, row_2K: Tensor, grad: Tensor, real_BT: Tensor | None) -> None:
        with torch.no_grad():
            grad = whole(grad)
            if torch.compiler.is_compiling():
                self.gradients.add(row_2K, Gradients(grad, real_BT))
                return
            try:
                self._norms.add(row_2K, grad, real_BT)
            except Exception as error:
                self._failed("activation gradients", error)

    def unscale(self, loss_scale: Tensor) -> None:
        """Activation gradients were scaled with the loss."""
        self._norms.fold()
        self.gradients.divide(loss_scale)

    def take(self) -> Tensor:
        """All sums of the step as one flat tensor on the device; the next step starts from zero."""
        self._norms.fold()
        for handle in self._on_leaves:
            handle.remove()
        self._on_leaves = []
        self._heard = WeakTensorKeyDictionary()
        return torch.cat([part.take() for part in (self.activations, self.gradients, self.pairs, self.massive)])

    @property
    def size(self) -> int:
        """How many numbers `take` gives."""
        return sum(part.size for part in (self.activations, self.gradients, self.pairs, self.massive))

    def combine(self, flat_Wn: Tensor, copies: int = 1) -> Tensor:
        """`[n]` out of every rank's `take`. The loss of all is the mean of the ranks', so gradients count 1/W.

        copies: ranks that hold the same activations, of which one counts.
        """
        parts: tuple[Accumulator | MassiveTop, ...] = (self.activations, self.gradients, self.pairs, self.massive)
        rows = torch.split(flat_Wn, [part.size for part in parts], dim=1)
        combined = [part.combine(part_Wn) for part, part_Wn in zip(parts, rows, strict=True)]
        self.gradients.rescale(combined[1], copies / flat_Wn.shape[0])
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
