"""The probe: follows a training run from its hooks alone and writes what it sees to the store.

Step k is the training forward and backward on weights after k updates. It opens at its first training forward, and its
rows leave at the next one: `log()` before or after `optimizer.step()` belongs to it, and several optimizers make one.

    forward (opens k) ── backward ── [clip] ── optimizer.step() ── forward (closes k, opens k + 1) ── ...
"""

import time
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from depthscope.store import Event, Layer, RunInfo, RunWriter

from .batch import Mask, count_tokens
from .boundary import on_optimizer_steps
from .clipping import Clip, forget_clips, on_clip
from .exits import close_at_exit
from .failures import Failures
from .inert import Inert
from .measurement import Measurement
from .schedule import Schedule
from .sites import Sites, trace_sites
from .steplog import StepLog

__all__ = ["Probe", "is_watched"]

_watched: WeakSet[nn.Module] = WeakSet()


def is_watched(model: nn.Module) -> bool:
    """Whether a probe is attached to `model` now."""
    return model in _watched


class Probe:
    """A live attachment to one model; made by `watch`. Safe to close twice; a context manager.

    `run` is the run's name, `sites` what is measured. Nothing it does raises into the training loop: a part that fails
    is reported once, as a warning and an event, and left out.
    """

    def __init__(
        self,
        model: nn.Module,
        writer: RunWriter,
        sites: Sites,
        *,
        sampled: Schedule,
        probed: Schedule,
        mask: Mask,
        probe_batch: Any = None,
        labelled: bool = False,
        tokens: int = 0,
    ) -> None:
        self.run, self.sites = writer.run, sites
        self._model, self._writer, self._labelled = model, writer, labelled
        self._sampled, self._probed, self._mask, self._probe_batch = sampled, probed, mask, probe_batch
        self._failures = Failures(self._report)
        self._log = StepLog(tokens)
        self._step = writer.from_step
        self._open = self._updated = self._busy = self._closed = self._sampling = False
        self._clips: list[Clip] = []
        self._owned: dict[int, bool] = {}
        self._measurement: Measurement | None = None
        self._handles = [
            model.register_forward_pre_hook(_RootInput(self), with_kwargs=True, prepend=True),
            model.register_forward_hook(_RootOutput(self), always_call=True),
            *on_optimizer_steps(self._before_step, self._after_step),
        ]
        on_clip(self._clipped)
        self._forget_exit = close_at_exit(self)
        _watched.add(model)

    # what people call

    def log(self, **scalars: Any) -> None:
        """Add numbers to the current step. `loss`, `lr`, `tokens`, `loss_scale` have their own columns, others a row.

        A one-element tensor costs no sync: it is read with the step's one host copy. Losses logged several times a
        step (micro-batches) are averaged, of other names the last one counts.
        """
        for name, value in scalars.items():
            self._failures.safely(f"log({name})", self._log.note, self._step, name, value)

    def event(self, text: str) -> None:
        """Mark the current step, for example where a learning rate warms up again."""
        self._failures.safely("event", self._writer.write, Event(self._step, "phase", str(text)))

    def step(self) -> None:
        """Close the current step by hand, for loops without a torch optimizer."""
        if self._open and not self._updated:
            self._failures.safely("parameters", self._read_parameters, list(self._model.parameters()))
            self._updated = True

    def close(self, status: str = "finished") -> None:
        """Write what is left, detach from the model and close the run. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._forget_exit()
        self._failures.safely("the last step", self._close_step)
        for handle in self._handles:
            handle.remove()
        forget_clips(self._clipped)
        if self._measurement is not None:
            self._measurement.close()
        else:
            self._failures.safely("layers", self._describe)
        _watched.discard(self._model)
        self._writer.close(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed")

    # what hooks call

    def before_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward of the watched model starts; only training forwards count."""
        if self._busy or not (self._model.training and torch.is_grad_enabled()):
            return
        self._busy = True
        try:
            self._failures.safely("the training forward", self._open_step, args, kwargs)
        finally:
            self._busy = False

    def after_forward(self) -> None:
        """A forward ended, by return or by exception."""
        if self._measurement is not None and not self._busy:
            self._measurement.end()

    def _before_step(self, optimizer: Optimizer) -> None:
        if self._trains(optimizer) and self._measurement is not None and self._sampling:
            self._failures.safely("parameters", self._measurement.before_update, _parameters_of(optimizer))

    def _after_step(self, optimizer: Optimizer) -> None:
        if not self._trains(optimizer):
            return
        self._updated = True
        self._failures.safely("learning rate", self._log.note, self._step, "lr", optimizer.param_groups[0]["lr"])
        self._failures.safely("parameters", self._read_parameters, _parameters_of(optimizer))

    def _clipped(self, clip: Clip) -> None:
        if self._open:
            self._clips.append(clip)

    # the life of a step

    def _open_step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._updated:
            self._close_step()
            self._step += 1
        if not self._open:
            self._start(args, kwargs)
        real_BT = self._failures.safely("mask", self._mask, args, kwargs)
        self._log.note(self._step, "tokens", count_tokens(args, kwargs, real_BT))
        if self._measurement is not None:
            self._measurement.begin(real_BT)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._open, self._updated, self._clips = True, False, []
        self._sampling = bool(self._failures.safely("every", self._sampled, self._step))
        if self._measurement is None:
            self.attach(args, kwargs)
        if self._probe_batch is not None and self._measurement is not None and self._probed(self._step):
            self._failures.safely("probe batch", self._measurement.run_probe_batch, self._probe_batch, self._mask)
        if self._measurement is not None:
            self._measurement.arm(sampled=self._sampling)

    def attach(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refine the sites with a traced forward on these arguments, then hook them."""
        traced = self._failures.safely("tracing", trace_sites, self._model, self.sites, args, kwargs)
        self.sites = self.sites if traced is None else traced
        self._measurement = Measurement(self._model, self.sites, self._failures.add)
        self._describe()

    def _read_parameters(self, parameters: list[Tensor]) -> None:
        if self._measurement is not None and self._sampling:
            self._measurement.after_update(parameters, self._clips)

    def _note_norms(self) -> None:
        """The total gradient norm, free where the loop's own single clipping told it, and the clipping's factor."""
        if len(self._clips) == 1:
            self._log.note(self._step, "grad_norm", self._clips[0].total_norm)
            self._log.note(self._step, "clip_factor", self._clips[0].factor)
        if self._measurement is not None and self._sampling:
            self._log.note(self._step, "grad_norm", self._measurement.finish())

    def _close_step(self) -> None:
        """Write the open step, unless its update never came."""
        if self._measurement is None or not self._open:
            return
        self._open = False
        if not self._updated:
            self._measurement.discard()
            return
        self._failures.safely("gradient norms", self._note_norms)
        self._log.close(self._step, time.time(), sampled=self._sampling)
        if self._sampling or self._closed or self._measurement.has_probe_rows:
            waiting = self._log.waiting()
            rows, host = self._measurement.collect(self._step, sampled=self._sampling, waiting=waiting)
            self._writer.write(*rows, *self._log.records(host))

    def _trains(self, optimizer: Optimizer) -> bool:
        """Whether `optimizer` updates the watched model; looked up once for each optimizer."""
        known = self._owned.get(id(optimizer))
        if known is None:
            mine = {id(p) for p in self._model.parameters()}
            known = any(id(p) in mine for p in _parameters_of(optimizer))
            self._owned[id(optimizer)] = known
        return known

    def _describe(self) -> None:
        modules = dict(self._model.named_modules())
        for block in self.sites.blocks:
            n_params = sum(p.numel() for p in modules[block.name].parameters())
            kind = type(modules[block.name]).__name__
            self._writer.write(Layer(block.stack, block.layer, block.name, kind, n_params, block.placement))
        layers = max(block.layer for block in self.sites.blocks)
        strategy = None if self._labelled else self.sites.placement
        self._writer.write(RunInfo(self.run, n_layers=layers, strategy=strategy))

    def _report(self, text: str) -> None:
        self._writer.write(Event(self._step, "warning", text))


def _parameters_of(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


class _RootInput(Inert):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.probe.before_forward(args, kwargs)


class _RootOutput(Inert):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.probe.after_forward()
