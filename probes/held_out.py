"""Held-out measurements of a run: when they are due, on which ranks, and what is written of them.

The model is measured by the first rank alone, unwrapped from DistributedDataParallel, so that no collective is missed;
the others wait for it in their next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from depthscope.store import DepthscopeError, Event, Record

from .distributed import Writer, world
from .failures import Failures
from .find_model import unwrapped
from .interventions import Estimate, Holdout, Kind, Listener, LossFn, Task, as_holdout, chosen_kinds, evaluate
from .schedule import Schedule
from .sites import Block, Sites, Tap

__all__ = ["HeldOut", "HeldOutPlan", "held_out_plan"]


@dataclass(frozen=True)
class HeldOutPlan:
    """What the user asked for: on which batches, at which steps, which kinds."""

    holdout: Holdout | None
    due: Schedule
    kinds: dict[str, Kind]
    seed: int = 0


def held_out_plan(
    batches: Any, every: int | Schedule | None, only: Sequence[str] | str | None, seed: int | None
) -> HeldOutPlan:
    """Checked. Raises DepthscopeError for a cadence without batches, or one below 1, and an unknown kind."""
    if batches is None and every is not None:
        raise DepthscopeError("expected holdout batches together with evaluate_every, got none; pass holdout=")
    if every is not None and not callable(every) and (isinstance(every, bool) or not isinstance(every, int)):
        raise DepthscopeError(f"expected evaluate_every to be a whole number or a function of the step, got {every!r}")
    if isinstance(every, int) and every < 1:
        raise DepthscopeError(f"expected evaluate_every to be at least 1, got {every}")
    holdout = None if batches is None else as_holdout(batches)
    return HeldOutPlan(holdout, _due(every), chosen_kinds(only, in_training=True), seed or 0)


def _due(every: int | Schedule | None) -> Schedule:
    """Every n steps from 0 on; early steps are not dense, an evaluation is worth many steps."""
    if every is None:
        return lambda step: False
    return every if callable(every) else lambda step: step % every == 0


class HeldOut:
    """Evaluates one model of one run. What fails is reported once and left out; nothing raises."""

    def __init__(self, model: nn.Module, writer: Writer, failures: Failures, plan: HeldOutPlan) -> None:
        self._model, self._writer, self._failures, self._plan = model, writer, failures, plan
        self._memory: dict[str, Any] = {}
        self._done: set[tuple[int, str]] = set()
        self._fresh = writer.from_step == 0

    def is_due(self, step: int) -> bool:
        """Whether the loop's schedule asks for an evaluation of these weights, which was not made yet."""
        due = self._plan.holdout is not None and bool(self._plan.due(step))
        return due and any((step, name) not in self._done for name in self._plan.kinds)

    def at(self, step: int, sites: Sites) -> None:
        """The scheduled evaluation of a step."""
        assert self._plan.holdout is not None
        self._evaluate(step, sites, self._plan.holdout, self._plan.kinds)

    def on_demand(
        self, step: int, sites: Sites, batches: Any, loss_fn: LossFn | None, only: Sequence[str] | str | None
    ) -> list[Record]:
        """An evaluation that the user asks for; all standard kinds where `only` names none."""
        given = self._plan.holdout if batches is None else as_holdout(batches, loss_fn)
        if given is None:
            raise DepthscopeError("expected held-out batches, got none; pass evaluate(batches) or watch(holdout=...)")
        holdout = given if loss_fn is None else replace(given, loss_fn=loss_fn)
        return self._evaluate(step, sites, holdout, chosen_kinds(only))

    def _evaluate(self, step: int, sites: Sites, holdout: Holdout, kinds: dict[str, Kind]) -> list[Record]:
        """On the first rank, what was not measured before on these weights."""
        left = {name: kind for name, kind in kinds.items() if (step, name) not in self._done}
        self._done |= {(step, name) for name in left}
        if world()[0] != 0 or not left:
            return []
        task = Task(holdout, left, step, self._plan.seed, self._fresh and step == 0, self._memory)
        listener = Listener(self._announce(step), write=self._write, failed=self._failed)
        return evaluate(self._model, task, listener, _inner_sites(self._model, sites))

    def _announce(self, step: int) -> Callable[[Estimate], None]:
        return lambda estimate: self._writer.write(Event(step, "evaluation", str(estimate)))

    def _write(self, records: Sequence[Record]) -> None:
        self._writer.write(*records)

    def _failed(self, kind: str, error: Exception) -> None:
        self._failures.add(f"held-out {kind}", error)


def _inner_sites(model: nn.Module, sites: Sites) -> Sites:
    """The sites by the names they have in the model without its wrapper."""
    inner = unwrapped(model)
    prefix = next((f"{name}." for name, module in model.named_modules() if module is inner and name), "")
    blocks = tuple(_block(block, prefix) for block in sites.blocks)
    return replace(sites, blocks=blocks, taps=tuple(_tap(tap, prefix) for tap in sites.taps))


def _block(block: Block, prefix: str) -> Block:
    enters, leaves = (None if p is None else (p[0].removeprefix(prefix), p[1]) for p in (block.enters, block.leaves))
    return replace(block, name=block.name.removeprefix(prefix), enters=enters, leaves=leaves)


def _tap(tap: Tap, prefix: str) -> Tap:
    return replace(tap, name=tap.name.removeprefix(prefix))
