"""The probe: what `watch` returns. It hands what hooks see to the run's session and keeps every failure inside."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet, finalize

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from depthscope.store import Event, Metric, Record

from .boundary import on_optimizer_steps
from .clipping import Clip, forget_clips, on_clip
from .distributed import Writer
from .exits import close_at_exit
from .failures import Failures
from .inert import Inert
from .interventions import LossFn
from .scaling import forget_scaling, on_scaling
from .session import Plan, Session
from .sites import Sites

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

    def __init__(self, model: nn.Module, writer: Writer, sites: Sites, plan: Plan) -> None:
        self.run = writer.run
        self._model, self._writer = model, writer
        self._failures = Failures(self._report)
        self._session = Session(model, writer, sites, self._failures, plan)
        self._busy = self._closed = False
        self._asked = 0  # evaluations, each of which may fail by itself
        self._handles = [
            model.register_forward_pre_hook(_RootInput(self), with_kwargs=True, prepend=True),
            model.register_forward_hook(_RootOutput(self), always_call=True),
            *on_optimizer_steps(self._before_step, self._after_step),
        ]
        on_clip(self._clipped)
        on_scaling(self._scaled)
        self._forget_exit = close_at_exit(self)
        self._abandoned = finalize(self, _abandon, writer)
        self._abandoned.atexit = False  # at exit the probe closes itself, and knows how the run ended
        _watched.add(model)
        writer.write(
            *(Metric(m.name, m.unit, m.title, m.formula, m.source, m.reduction) for m in plan.choice.metrics.values())
        )

    @property
    def sites(self) -> Sites:
        """What is measured, as found so far."""
        return self._session.sites

    # what people call

    def log(self, **scalars: Any) -> None:
        """Add numbers to the current step. `loss`, `lr`, `tokens`, `loss_scale` have their own columns, others a row.

        A one-element tensor costs no sync: it is read with the step's one host copy. Losses logged several times a
        step (micro-batches) are averaged, of other names the last one counts.
        """
        for name, value in scalars.items():
            self._failures.safely(f"log({name})", self._session.note, name, value)

    def event(self, text: str) -> None:
        """Mark the current step, for example where a learning rate warms up again."""
        self._failures.safely("event", self._writer.write, Event(self._session.step, "phase", str(text)))

    def step(self) -> None:
        """Close the current step by hand, for loops without a torch optimizer."""
        self._failures.safely("step", self._session.updated, list(self._model.parameters()))

    def evaluate(
        self, batches: Any = None, loss_fn: LossFn | None = None, only: Sequence[str] | str | None = None
    ) -> list[Record]:
        """Measure the weights as they are now on held-out batches; returns the records, which are written too.

        batches: as `watch(holdout=...)`, the default. loss_fn(model, batch): mean loss in nats a token; without
        it cross-entropy of the next token. only: names of INTERVENTIONS; default all but the expensive ones. The model
        is left bit for bit as it was. A kind that was measured on these weights before is not measured again.
        """
        before, self._busy = self._busy, True
        self._asked += 1
        try:
            session = self._session
            return session.held_out.on_demand(session.updates, session.sites, batches, loss_fn, only)
        except Exception as error:
            self._failures.add(f"evaluate() number {self._asked}", error)
            return []
        finally:
            self._busy = before

    def close(self, status: str = "finished") -> None:
        """Write what is left, detach from the model and close the run. Safe to call twice.

        A held-out evaluation that is due for the last weights is made first, where the run has finished.
        """
        if self._closed:
            return
        self._closed = True
        self._forget_exit()
        self._abandoned.detach()
        if status == "finished":
            self._aside(self._session.evaluate_if_due)
        self._failures.safely("the last step", self._session.finish)
        for handle in self._handles:
            handle.remove()
        forget_clips(self._clipped)
        forget_scaling(self._scaled)
        if self._session.measurement is not None:
            self._session.measurement.close()
        _watched.discard(self._model)
        self._writer.close(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed")

    # what hooks call

    def attach(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find and hook the sites now, with a traced forward on these arguments."""
        self._aside(self._session.attach, args, kwargs)

    def attach_blocks(self) -> None:
        """Hook what the structure tells until a forward tells more: a compiled model may never be seen to run."""
        self._aside(self._session.hook, self.sites)

    def before_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward of the watched model starts; only training forwards count, and none inside torch.func."""
        if not self._busy and self._model.training and torch.is_grad_enabled() and not _transformed():
            self._aside(self._session.forward, args, kwargs)

    def replica_forward(self) -> None:
        """A copy that nn.DataParallel makes of the model runs, in a thread of its own."""
        self._failures.add("nn.DataParallel", RuntimeError("its copies are not measured: use DistributedDataParallel"))

    def after_forward(self) -> None:
        """A forward ended, by return or by exception."""
        if self._session.measurement is not None and not self._busy:
            self._session.measurement.end()

    def _aside(self, function: Any, *args: Any) -> None:
        """Run something of ours that may run the model itself, whose hooks then are not the loop's."""
        self._busy = True
        try:
            self._failures.reported("the training forward", function, *args)
        finally:
            self._busy = False

    def _before_step(self, optimizer: Optimizer) -> None:
        self._failures.reported("before the update", self._session.before_update, optimizer)

    def _after_step(self, optimizer: Optimizer) -> None:
        self._failures.reported("after the update", self._session.after_update, optimizer)

    def _clipped(self, clip: Clip) -> None:
        self._failures.reported("clipping", self._session.clipped, clip)

    def _scaled(self, optimizer: Optimizer, scale: Tensor, over: bool) -> None:
        self._failures.reported("loss scaling", self._session.scaled, optimizer, scale, over)

    def _report(self, text: str) -> None:
        self._writer.write(Event(self._session.step, "warning", text))


def _abandon(writer: Writer) -> None:
    """A probe was dropped without `close()`: its run ends, and torch's own functions come back."""
    writer.close("interrupted")
    forget_clips(None)
    forget_scaling(None)


def _transformed() -> bool:
    """Whether vmap, grad or another transform runs: its tensors are wrapped, and may not be written elsewhere."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class _RootInput(Inert):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return
        if getattr(module, "_is_replica", False):
            self.probe.replica_forward()
        else:
            self.probe.before_forward(args, kwargs)


class _RootOutput(Inert):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.compiler.is_compiling():
            self.probe.after_forward()
