"""Turn what hooks see into sums: one object holds the accumulators of a model and knows whether it is recording now."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from depthscope.store import Massive

from .accumulate import Accumulator
from .massive import MassiveTop
from .metrics import Of, Pair, Tokens
from .sites import Key, Sites

__all__ = ["Recorder", "activation_keys"]

_PAIRED = {"resid_post": "block", "attn_out": "attn_out", "mlp_out": "mlp_out"}


def activation_keys(sites: Sites) -> list[Key]:
    """Every site whose activations are measured: the stream at layers 0..L and the tapped sites."""
    streams: list[Key] = [(b.stack, layer, "resid_post") for b in sites.blocks for layer in _layers_of(b.layer)]
    return list(dict.fromkeys([*streams, *(tap.key for tap in sites.taps)]))


def _layers_of(layer: int) -> tuple[int, ...]:
    return (0, 1) if layer == 1 else (layer,)


@dataclass
class Forward:
    """The training or probe forward that is running: whose tokens are real, and how many sequences came before."""

    real_BT: Tensor | None
    first_sequence: int


class Recorder:
    """Pools every tapped tensor of a step; `take` hands over the sums as one flat device tensor."""

    def __init__(self, sites: Sites, device: torch.device, failed: Callable[[str, Exception], None]) -> None:
        keys = activation_keys(sites)
        paired = [(s, layer, _PAIRED[site]) for s, layer, site in keys if site in _PAIRED and layer != 0]
        self.activations = Accumulator(Of.ACTIVATION, keys, device, failed)
        self.gradients = Accumulator(Of.GRADIENT, keys, device, failed)
        self.pairs = Accumulator(Of.PAIR, paired, device, failed)
        self.massive = MassiveTop([key for key in keys if key[2] == "resid_post"], device)
        self.forward: Forward | None = None
        self._inputs: dict[tuple[str, int | None], Tensor] = {}
        self._sequences = 0
        self._failed = failed

    def begin(self, real_BT: Tensor | None) -> None:
        """A forward to be recorded starts."""
        self.forward = Forward(real_BT, self._sequences)

    def end(self) -> None:
        """The forward ended, by return or by exception; no activation is kept."""
        self.forward = None
        self._inputs.clear()

    def enter_block(self, stack: str, layer: int, stream: Tensor, *, copies: bool) -> None:
        """Block `layer` reads `stream`; for layer 1 that is layer 0 of the residual stream."""
        if layer == 1:
            self.see((stack, 0, "resid_post"), stream)
        self._inputs[stack, layer] = stream.detach().clone() if copies else stream.detach()

    def leave_block(self, stack: str, layer: int, stream: Tensor) -> None:
        """Block `layer` returned `stream`."""
        self.see((stack, layer, "resid_post"), stream)
        entered = self._inputs.pop((stack, layer), None)
        if entered is not None and entered.shape == stream.shape:
            self._pair((stack, layer, "block"), entered, stream.detach() - entered)

    def see(self, key: Key, x: Tensor) -> None:
        """Pool the activations at `key`, their gradient when it comes, and a branch against its block's input."""
        forward = self.forward
        if forward is None:
            return
        try:
            tokens = Tokens(x, forward.real_BT)
            self.activations.add(key, tokens)
            if key[2] == "resid_post":
                self.massive.add(key, tokens, forward.first_sequence)
                self._sequences = max(self._sequences, forward.first_sequence + tokens.x_BTD.shape[0])
            entered = self._inputs.get(key[:2])
            if key[2] in ("attn_out", "mlp_out") and entered is not None and entered.shape == x.shape:
                self._pair(key, entered, x)
            if x.requires_grad and torch.is_grad_enabled():
                x.register_hook(_GradientTap(self, key, forward.real_BT))  # type: ignore[no-untyped-call]
        except Exception as error:
            self._failed(f"site {key[2]}", error)

    def see_gradient(self, key: Key, grad: Tensor, real_BT: Tensor | None) -> None:
        """Pool the gradient of the loss with respect to the activations at `key`."""
        try:
            self.gradients.add(key, Tokens(grad, real_BT))
        except Exception as error:
            self._failed(f"gradient at {key[2]}", error)

    def _pair(self, key: Key, entered: Tensor, delta: Tensor) -> None:
        assert self.forward is not None
        self.pairs.add(key, Pair(entered, delta, self.forward.real_BT))

    def take(self) -> Tensor:
        """All sums of the step as one flat tensor on the device; the next step starts from zero."""
        self._sequences = 0
        return torch.cat([part.take() for part in self._parts])

    @property
    def _parts(self) -> tuple[Accumulator | MassiveTop, ...]:
        return self.activations, self.gradients, self.pairs, self.massive

    def read(self, flat: Sequence[float]) -> dict[Key, dict[str, float]]:
        """Values by site from what `take` gave, on the host."""
        values: dict[Key, dict[str, float]] = {}
        start = 0
        for part in (self.activations, self.gradients, self.pairs):
            size = part.buffer_2SK.numel()
            for key, found in part.read(flat[start : start + size]):
                values.setdefault(key, {}).update(found)
            start += size
        return values

    def read_massive(self, flat: Sequence[float], step: int, phase: str) -> Iterator[Massive]:
        """The largest activations from what `take` gave, on the host."""
        start = sum(part.buffer_2SK.numel() for part in (self.activations, self.gradients, self.pairs))
        return self.massive.read(flat[start:], step, phase)


class _GradientTap:
    """A tensor hook; lives as long as the graph of its forward."""

    def __init__(self, recorder: Recorder, key: Key, real_BT: Tensor | None) -> None:
        self.recorder, self.key, self.real_BT = recorder, key, real_BT

    def __call__(self, grad: Tensor) -> None:
        self.recorder.see_gradient(self.key, grad, self.real_BT)
