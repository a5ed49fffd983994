"""The device side of a probe: what is attached to the model, what it has summed, and the one copy that fetches it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depthscope.store import LayerStats, Massive

from .batch import Mask, as_arguments, call
from .batch_norms import BatchNorms
from .choice import STANDARD, Choice
from .clipping import Clip
from .distributed import TensorParallel, every_ranks, world
from .find_model import unwrapped
from .gradients import ParameterReader
from .hooks import attach
from .recorder import Recorder
from .sites import Key, Sites
from .untouched import untouched

__all__ = ["Collected", "Measurement"]


@dataclass(frozen=True)
class Collected:
    """What one step's copy to the host brought."""

    records: list[LayerStats | Massive]
    grad_norm: float | None
    waiting: list[float]
    saw_nothing: bool = False  # a sampled step on which no site was passed
    tokens: Sequence[float] = ()  # of all ranks, step by step


class Measurement:
    """Hooks and sums of one model; `close` removes every hook."""

    def __init__(
        self,
        model: nn.Module,
        sites: Sites,
        mask: Mask,
        failed: Callable[[str, Exception], None],
        choice: Choice = STANDARD,
    ) -> None:
        first = next(model.parameters(), None)
        self._device = torch.device("cpu") if first is None else first.device
        self._model, self._mask, self._failed = model, mask, failed
        self.recorder = Recorder(sites, self._device, failed, choice)
        self._dtype = torch.float32 if self._device.type == "mps" else torch.float64
        self._reader = ParameterReader(model, sites.parameters, self._device, choice)
        self.loss_scale: Tensor | None = None  # of this step, where a GradScaler multiplied the loss
        self.overflows: list[Tensor] = []  # of fused optimizers, which skip a step by themselves where theirs is not 0
        self._trained: Tensor | None = None
        self._moved: Tensor | None = None
        self._probed: Tensor | None = None
        self.norms = BatchNorms(model, sites, self._device, lambda: self.recorder.active, failed, choice)
        self._parallel = TensorParallel()
        self._handles: list[RemovableHandle] = [*attach(model, sites, self.recorder, mask, failed), *self.norms.handles]
        if world()[1] > 1:
            blocks = [model.get_submodule(block.name) for block in sites.blocks[:1]]
            self._handles += [block.register_forward_pre_hook(self._parallel) for block in blocks]

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def arm(self, *, sampled: bool) -> None:
        """A step opens: whether its forwards are recorded."""
        self.recorder.armed = sampled

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """A training forward starts; returns which tokens are real, None for all."""
        real_BT = self._real(args, kwargs)
        self.recorder.begin(real_BT)
        return real_BT

    def _real(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        try:
            return self._mask(args, kwargs)
        except Exception as error:
            self._failed("mask", error)
            self._mask = lambda args, kwargs: None
            return None

    def end(self) -> None:
        self.recorder.end()

    def run_probe_batch(self, batch: Any) -> None:
        """Measure the held-out batch on the side, before the step's own sums begin."""
        self.recorder.take()
        with untouched(self._model):
            self.recorder.begin(self._real(*as_arguments(batch)), probing=True)
            try:
                call(unwrapped(self._model), batch)  # DistributedDataParallel's forward has collectives of its own
            finally:
                self.recorder.end()
                flat = self.recorder.take()
        self._probed = flat

    def before_update(self, parameters: Iterable[Tensor]) -> None:
        """An optimizer is about to move these."""
        self._reader.before_update(parameters)

    def after_update(self, parameters: Iterable[Tensor], clips: Sequence[Clip]) -> None:
        """An optimizer has moved these."""
        self._reader.after_update(parameters, clips)

    def finish(self) -> None:
        """A sampled step closes: take its sums, on every rank, whatever failed on this one."""
        try:
            self._trained = self._take() if self._trained is None else self._trained
        except Exception as error:
            self._failed("activations", error)
            self._trained = torch.zeros(self.recorder.size, dtype=self._dtype, device=self._device)
        try:
            self._moved = self._reader.take()
        except Exception as error:
            self._failed("parameters", error)
            self._moved = torch.zeros(self._reader.size, dtype=self._dtype, device=self._device)

    def _take(self) -> Tensor:
        """The step's sums; activation gradients were scaled with the loss, parameters' are unscaled by now."""
        if self.loss_scale is not None:
            self.recorder.unscale(self.loss_scale)
            self.loss_scale = None
        return self.recorder.take()

    def settle(self) -> Tensor:
        """Take the sums of a step whose forwards ran inside a compiled graph; returns its real tokens, 0-d."""
        if self.recorder.armed:
            self._trained = self._take()
        return self.recorder.take_tokens()

    @property
    def has_probe_rows(self) -> bool:
        return self._probed is not None

    def discard(self) -> None:
        """Forget the sums of a step that is not to be written."""
        self.recorder.take()
        self.norms.take()
        self._reader.reset()
        self._trained = self._moved = self._probed = self.loss_scale = None
        self.overflows = []

    @property
    def data_ranks(self) -> int:
        """How many ranks have data of their own."""
        return world()[1] // self._parallel.copies

    def collect(self, step: int, waiting: Sequence[Tensor], tokens: Sequence[Sequence[float | Tensor]]) -> Collected:
        """The records of a step, its total gradient norm and the values of `waiting`, with a single copy to the host.

        A sampled step joins the one collective, with this rank's `tokens` of some steps; the held-out batch is the same
        on every rank, so one rank's is enough.
        """
        trained = self._gathered(tokens)
        probed = [] if self._probed is None else [self._probed]
        numbers, self.overflows = [*waiting, *self.overflows], []
        scalars = [torch.stack([t.to(self._device, self._dtype) for t in numbers])] if numbers else []
        parts = [*trained, *probed, *scalars]
        host: list[float] = torch.cat(parts).tolist() if parts else []
        split = list(_split(host, parts))
        records: list[LayerStats | Massive] = []
        everyones = split[2] if trained else []
        if numbers and any(split[-1][len(waiting) :]):
            trained = []  # their gradients were dropped
        if trained:
            values = self.recorder.read(split[0])
            for key, found in self._reader.read(split[1]):
                values.setdefault(key, {}).update(found)
            records += _rows(values, step, "train")
            records += self.recorder.read_massive(split[0], step, "train")
        if probed:
            activations = split[len(parts) - len(scalars) - 1]
            records += _rows(self.recorder.read(activations), step, "probe")
            records += self.recorder.read_massive(activations, step, "probe")
        saw_nothing = bool(trained and split[0]) and not any(split[0])
        norm = self._reader.total_norm(split[1]) if trained else None
        self._trained = self._moved = self._probed = None
        return Collected(records, norm, split[-1][: len(waiting)] if waiting else [], saw_nothing, everyones)

    def _gathered(self, tokens: Sequence[Sequence[float | Tensor]]) -> list[Tensor]:
        """The sums of activations and of parameters, and tokens, over all ranks."""
        if self._trained is None or self._moved is None:
            return []
        mine = [self._trained, self._counted(tokens)]
        if not self._parallel.counts:
            mine = [torch.zeros_like(part) for part in mine]
        parts = [mine[0], self._moved, mine[1]]
        activations_Wn, moved_Wn, tokens_Wn = torch.split(every_ranks(torch.cat(parts)), [*map(len, parts)], dim=1)
        return [self.recorder.combine(activations_Wn, self._parallel.copies), moved_Wn.sum(0), tokens_Wn.sum(0)]

    def _counted(self, tokens: Sequence[Sequence[float | Tensor]]) -> Tensor:
        """One number for each list; filled in on the device, where a copy from the host would make it wait."""
        sums = [torch.full((), 0.0, dtype=self._dtype, device=self._device) for _ in tokens]
        for total, counts in zip(sums, tokens, strict=True):
            for count in counts:
                total += count
        return torch.stack(sums) if sums else torch.zeros(0, dtype=self._dtype, device=self._device)


def _split(host: list[float], parts: Sequence[Tensor]) -> Iterator[list[float]]:
    start = 0
    for part in parts:
        yield host[start : start + part.numel()]
        start += part.numel()


def _rows(values: Mapping[Key, dict[str, float]], step: int, phase: str) -> list[LayerStats]:
    return [LayerStats(step, phase, stack, layer, site, found) for (stack, layer, site), found in values.items()]
