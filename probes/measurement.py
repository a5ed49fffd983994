"""The device side of a probe: what is attached to the model, what it has summed, and the one copy that fetches it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depthscope.store import LayerStats, Massive

from .accumulate import Accumulator
from .batch import Mask, as_arguments, call
from .clipping import Clip
from .gradients import ParameterReader
from .hooks import attach
from .metrics import Of
from .recorder import Recorder
from .sites import Key, Sites
from .untouched import untouched

__all__ = ["Measurement"]


class Measurement:
    """Hooks and sums of one model; `close` removes every hook."""

    def __init__(self, model: nn.Module, sites: Sites, failed: Callable[[str, Exception], None]) -> None:
        first = next(model.parameters(), None)
        device = torch.device("cpu") if first is None else first.device
        self._model = model
        self._recorder = Recorder(sites, device, failed)
        self._parameter_sums = Accumulator(Of.PARAMETER, list(sites.parameters), device, failed)
        self._reader = ParameterReader(model, sites.parameters, self._parameter_sums)
        self._probe_flat: Tensor | None = None
        self._handles: list[RemovableHandle] = attach(model, sites, self._recorder, failed)

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def arm(self, *, sampled: bool) -> None:
        """A step opens: whether its forwards are recorded."""
        self._recorder.armed = sampled

    def begin(self, real_BT: Tensor | None) -> None:
        """A training forward starts."""
        self._recorder.begin(real_BT)

    def end(self) -> None:
        self._recorder.end()

    def run_probe_batch(self, batch: Any, mask: Mask) -> None:
        """Measure the held-out batch on the side, before the step's own sums begin."""
        self._recorder.take()
        with untouched(self._model):
            self._recorder.begin(mask(*as_arguments(batch)), probing=True)
            try:
                call(self._model, batch)
            finally:
                self._recorder.end()
                flat = self._recorder.take()
        self._probe_flat = flat

    def before_update(self, parameters: Iterable[Tensor]) -> None:
        """An optimizer is about to move these."""
        self._reader.before_update(parameters)

    def after_update(self, parameters: Iterable[Tensor], clips: Sequence[Clip]) -> None:
        """An optimizer has moved these."""
        self._reader.after_update(parameters, clips)

    def finish(self) -> Tensor:
        """Pool the parameter metrics; returns the total gradient norm before clipping, 0-d on the device."""
        return self._reader.finish()

    @property
    def has_probe_rows(self) -> bool:
        return self._probe_flat is not None

    def discard(self) -> None:
        """Forget the sums of a step that is not to be written."""
        self._recorder.take()
        self._reader.reset()
        self._probe_flat = None

    def collect(
        self, step: int, *, sampled: bool, waiting: Sequence[Tensor]
    ) -> tuple[list[LayerStats | Massive], list[float]]:
        """The records of a step and the values of `waiting`, with a single copy to the host."""
        trained = [self._recorder.take(), self._parameter_sums.take()] if sampled else []
        probed = [] if self._probe_flat is None else [self._probe_flat]
        like = self._parameter_sums.buffer_2SK
        scalars = [torch.stack([t.to(like) for t in waiting])] if waiting else []
        parts = [*trained, *probed, *scalars]
        host: list[float] = torch.cat(parts).tolist() if parts else []
        records: list[LayerStats | Massive] = []
        if sampled:
            activations, parameters = _split(host, trained)
            values = self._recorder.read(activations)
            for key, found in self._parameter_sums.read(parameters):
                values.setdefault(key, {}).update(found)
            records += _rows(values, step, "train")
            records += self._recorder.read_massive(activations, step, "train")
        if probed:
            (activations,) = _split(host[sum(part.numel() for part in trained) :], probed)
            records += _rows(self._recorder.read(activations), step, "probe")
            records += self._recorder.read_massive(activations, step, "probe")
            self._probe_flat = None
        return records, host[len(host) - len(waiting) :]


def _split(host: list[float], parts: Sequence[Tensor]) -> Iterator[list[float]]:
    start = 0
    for part in parts:
        yield host[start : start + part.numel()]
        start += part.numel()


def _rows(values: Mapping[Key, dict[str, float]], step: int, phase: str) -> list[LayerStats]:
    return [LayerStats(step, phase, stack, layer, site, found) for (stack, layer, site), found in values.items()]
