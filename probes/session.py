"""The life of a step: when it opens, what belongs to it, when its rows leave.

Step k is the training forward and backward on weights after k updates. It opens at its first training forward and its
rows leave at the next one, so that `log()` before or after `optimizer.step()` belongs to it and several optimizers make
one step:

    forward (opens k) ── backward ── [clip] ── optimizer.step() ── forward (closes k, opens k + 1) ── ...

A model that was compiled whole runs its forward inside a graph, where nobody sees it start. Then the update ends the
step, and what is logged between two updates goes to the side on which the loop logged first.
"""

import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from depthscope.store import Event, Layer, RunInfo

from .batch import Mask, count_tokens
from .choice import Choice
from .clipping import Clip, StepClips
from .distributed import Writer, world
from .failures import Failures
from .held_out import HeldOut, HeldOutPlan
from .measurement import Measurement
from .schedule import Schedule
from .sites import Sites, trace_sites
from .sparse import MaskWatch
from .start import Start
from .steplog import StepLog

__all__ = ["Plan", "Session"]


class NothingSeen(Exception):
    """A sampled step passed no hook: its graph was compiled before they were there."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"step {step} passed no hook: the model was compiled and had run before watch(), or is not called as "
            "model(...); compiled graphs are dropped now, the next forward is traced with the probe"
        )


@dataclass(frozen=True)
class Plan:
    """What the user asked for: when to sample what, when to run which held-out batch, which tokens are real."""

    sampled: Schedule
    probed: Schedule
    mask: Mask
    held_out: HeldOutPlan
    probe_batch: Any
    choice: Choice
    labelled: bool  # the user named the strategy
    start: Start


class Session:
    """The state of one run between its hooks' calls. Its methods may raise; the probe that calls them catches."""

    def __init__(self, model: nn.Module, writer: Writer, sites: Sites, failures: Failures, plan: Plan) -> None:
        self.sites, self.step, self.log = sites, writer.from_step, StepLog(plan.start.tokens)
        self.measurement: Measurement | None = None
        self._model, self._writer, self._failures, self._plan = model, writer, failures, plan
        self.held_out = HeldOut(model, writer, failures, plan.held_out)
        self._masks = MaskWatch(model)
        self._clips = StepClips(model)
        self._owned: WeakKeyDictionary[Optimizer, tuple[int, bool]] = WeakKeyDictionary()
        self._stepped: set[int] = set()
        self._told: int | None = None  # the last step whose tokens every rank's were gathered of
        self._seen = False  # this step's forward was seen to start
        self._fed = False  # with tokens
        self._updated = False  # and its update happened
        self._logs_first: bool | None = None  # the loop logs before it updates
        self._sampling = bool(plan.sampled(self.step))

    def attach(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refine the sites with a traced forward on these arguments, then hook them."""
        traced = self._failures.safely("tracing", trace_sites, self._model, self.sites, args, kwargs)
        if traced is not None or self.measurement is None:  # hooks must not be replaced while they run
            self.hook(self.sites if traced is None else traced)
        if traced is not None:
            self.describe()

    def hook(self, sites: Sites) -> None:
        """Measure at `sites` from now on."""
        if self.measurement is not None:
            self.measurement.close()
        self.sites = sites
        self.measurement = Measurement(self._model, sites, self._plan.mask, self._failures.add, self._plan.choice)
        self.measurement.arm(sampled=self._sampling)

    # what happens, in the order in which it does

    def forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A training forward starts in eager mode."""
        if self._updated:
            self.close_step()
        self._fed = self._fed or bool(count_tokens(args, kwargs, None))
        if not self._seen:
            self._seen = True
            self._open(args, kwargs)
        assert self.measurement is not None
        self.measurement.recorder.unseen = False
        self.log.note(self.step, "tokens", count_tokens(args, kwargs, self.measurement.begin(args, kwargs)))

    def _open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        shows = self._fed or world()[1] > 1  # an empty batch shows nothing; but ranks trace together
        if self.measurement is None or (self.sites.how == "structure" and shows):
            self.attach(args, kwargs)
        assert self.measurement is not None
        if self._plan.probe_batch is not None and self._plan.probed(self.step):
            self._failures.safely("probe batch", self.measurement.run_probe_batch, self._plan.probe_batch)
        self.evaluate_if_due()
        self.measurement.arm(sampled=self._sampling)

    def evaluate_if_due(self) -> None:
        """The held-out evaluation of the weights as they are now."""
        if self._plan.start.settled and self.held_out.is_due(self.updates):
            self._failures.safely("held-out evaluation", self.held_out.at, self.updates, self.sites)

    @property
    def updates(self) -> int:
        """How many updates the weights have had."""
        return self.step + self._updated

    def note(self, name: str, value: Any) -> None:
        """The loop logs something."""
        if self._logs_first is None and not self._updated:
            self._logs_first = True
        later = self._updated and not self._seen and bool(self._logs_first)
        self.log.note(self.step + later, name, value)

    def clipped(self, clip: Clip) -> None:
        """The loop clips gradients."""
        self._clips.add(clip)

    def scaled(self, optimizer: Optimizer, scale: Tensor, over: bool) -> None:
        """A GradScaler is about to step this optimizer, or has; a step that never came was dropped for overflow."""
        if not self.trains(optimizer) or self.measurement is None:
            return
        if not over:
            self._close_unseen(optimizer)
            self._stepped.discard(id(optimizer))
            self.log.note(self.step, "loss_scale", scale)
            self.measurement.loss_scale = scale.clone()  # the scaler changes it in place before the step closes
        elif id(optimizer) not in self._stepped:
            self.log.drop(self.step)
            self.log.note(self.step, "skipped", 1)
            self.measurement.discard()
            self._clips.now = []

    def before_update(self, optimizer: Optimizer) -> None:
        """An optimizer is about to move its parameters."""
        if not self.trains(optimizer):
            return
        self._close_unseen(optimizer)
        self._failures.safely("the first step", self._begin, optimizer)
        if not self._seen:
            self.evaluate_if_due()
        if self._sampling and self.measurement is not None:
            self.measurement.before_update(_parameters_of(optimizer))

    def _close_unseen(self, optimizer: Optimizer) -> None:
        """An optimizer that has had its step comes again: the next step's forward ran inside a compiled graph."""
        if not self._seen and id(optimizer) in self._stepped:
            self.close_step()

    def _begin(self, optimizer: Optimizer | None) -> None:
        """The step that opened may turn out to be another one, when the first update comes."""
        step = self._plan.start.at_update(optimizer, self.step)
        if step != self.step:
            self.log.move(self.step, step, self._plan.start.tokens)
            self.step = step

    def after_update(self, optimizer: Optimizer) -> None:
        """An optimizer has moved its parameters."""
        if not self.trains(optimizer):
            return
        self._stepped.add(id(optimizer))
        self.log.note(self.step, "lr", optimizer.param_groups[0]["lr"])
        overflow = getattr(optimizer, "found_inf", None)  # a fused optimizer is stepped always, and skips by itself
        if isinstance(overflow, Tensor):
            self.log.note(self.step, "skipped", overflow)
            if self._sampling and self.measurement is not None:
                self.measurement.overflows.append(overflow.detach().clone())
        self.updated(_parameters_of(optimizer))

    def updated(self, parameters: list[Tensor]) -> None:
        """These parameters were moved, by an optimizer or by hand."""
        self._failures.safely("the first step", self._begin, None)
        first, self._updated = not self._updated, True
        if self.measurement is None:
            return
        if self._sampling:
            self._failures.safely("parameters", self.measurement.after_update, parameters, self._clips.now)
        self._clips.moved(parameters)
        if first and not self._seen:
            self._end_unseen()

    def _end_unseen(self) -> None:
        """The forward ran inside a compiled graph: the next may start any moment, so the step's sums are taken now."""
        assert self.measurement is not None
        self.log.note(self.step, "tokens", self.measurement.settle())
        self.measurement.arm(sampled=bool(self._plan.sampled(self.step + 1)))
        self._logs_first = bool(self._logs_first)

    def close_step(self, *, last: bool = False) -> None:
        """The step is complete: its rows leave when it was sampled, else with the next that is."""
        if self.measurement is None or not self._updated:
            return
        try:
            self._failures.safely("clipping", self._note_clip)
            if self._sampling:
                self.measurement.finish()
                looked = self._failures.safely("masks", self._masks.look, self.sites) or {}
                for name, value in {**looked, **self.measurement.norms.take()}.items():
                    self.log.note(self.step, name, value)
            self.log.close(self.step, time.time(), sampled=self._sampling)
            if self._sampling or last or self.measurement.has_probe_rows:
                self._write(last=last)
        finally:  # ranks count steps alike, whatever fails on one of them
            self.step += 1
            self._seen, self._fed, self._updated, self._stepped = False, False, False, set()
            self._clips.turn()
            self._sampling = bool(self._failures.safely("every", self._plan.sampled, self.step))

    def finish(self) -> None:
        """The run ends: an update that happened is a step, a forward without one is not."""
        self.close_step(last=True)
        if self.sites.how != "traced forward":
            self.describe()
        if self.measurement is None:
            return
        self.measurement.discard()
        self._write(last=True)
        self.measurement.close()

    def _write(self, *, last: bool) -> None:
        """Fetch what was measured and write it. With several ranks the rows of steps wait for a sampled one, which
        gathers everybody's tokens; what comes after the last sampled step is taken to be alike on all ranks."""
        assert self.measurement is not None
        step = self.step
        told = self._sampling or last or world()[1] == 1
        waiting = self.log.waiting() if told else []
        since = [] if world()[1] == 1 else range(step if self._told is None else self._told + 1, step + 1)
        try:
            collected = self.measurement.collect(step, waiting, [self.log.tokens_of(s) for s in since])
        finally:
            self._told = step if self._sampling else self._told
        if collected.grad_norm is not None:
            self.log.note(step, "grad_norm", collected.grad_norm)
        tokens = dict(zip(since, collected.tokens, strict=False))
        rows = self.log.records(collected.waiting, tokens, self.measurement.data_ranks) if told else iter(())
        logged = self._masks.told(rows)
        self._writer.write(*collected.records, *self.measurement.norms.told(logged))
        expected = self._fed or not self._seen
        if collected.saw_nothing and expected and (self.sites.taps or any(block.leaves for block in self.sites.blocks)):
            self._failures.add("measuring", NothingSeen(step))
            torch._dynamo.reset()

    def _note_clip(self) -> None:
        for name, value in self._clips.told().items():
            self.log.note(self.step, name, value)

    def trains(self, optimizer: Optimizer) -> bool:
        """Whether `optimizer` updates the watched model; looked up once for each optimizer, and as it gets groups."""
        groups = len(optimizer.param_groups)
        known = self._owned.get(optimizer)
        if known is None or known[0] != groups:
            mine = {id(p) for p in self._model.parameters()}
            known = groups, any(id(p) in mine for p in _parameters_of(optimizer))
            self._owned[optimizer] = known
        return known[1]

    def describe(self) -> None:
        """Write what is known of the layers and, where the user gave no label, the placement that was found."""
        modules = dict(self._model.named_modules())
        for block in self.sites.blocks:
            parts = block.parts or (block.name,)
            n_params = sum(p.numel() for part in parts for p in modules[part].parameters())
            kind = type(modules[block.name]).__name__
            layer = Layer(block.stack, block.layer, block.name, kind, n_params, block.placement, block.turns > 1)
            self._writer.write(layer)
        self._writer.write(*(Event(self.step, "warning", text) for text in self.sites.left_out))
        layers = max((block.layer for block in self.sites.blocks), default=0)
        strategy = None if self._plan.labelled else self.sites.placement
        self._writer.write(RunInfo(self._writer.run, n_layers=layers, strategy=strategy))


def _parameters_of(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
