"""Held-out measurements of saved weights: every checkpoint is a step of a run.

They are added to the run that the checkpoints come from, or make one of their own. What the store has of a step is not
measured again, so that the same call goes on after an interruption.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthscope.store import (
    DepthscopeError,
    Event,
    Layer,
    RunInfo,
    RunWriter,
    Step,
    Store,
    StoreMissing,
    open_run,
    open_store,
)

from .interventions import Estimate, Holdout, Kind, Listener, LossFn, Task, as_holdout, chosen_kinds, evaluate
from .interventions import found_sites as sites_of
from .sites import Sites
from .weights import load_into, open_folder

__all__ = ["Evaluated", "Watcher", "evaluate_checkpoints", "steps_of"]

Checkpoint = str | Path


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate_checkpoints` did: steps measured now, steps that the store had, kinds that failed and why."""

    run: str
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Watcher:
    """Who hears of it: `estimated(step, checkpoints left, estimate)` before each one, `advance(forwards)` meanwhile."""

    estimated: Callable[[int, int, Estimate], None] = lambda step, left, estimate: None
    advance: Callable[[float], None] = lambda forwards: None


def evaluate_checkpoints(
    checkpoints: Mapping[int, Checkpoint] | Iterable[Checkpoint],
    model: Callable[[], nn.Module] | None,
    holdout: Any,
    *,
    store: str | Path | None = None,
    run: str | None = None,
    steps: Sequence[int] | None = None,
    only: Sequence[str] | str | None = None,
    loss_fn: LossFn | None = None,
    strategy: str | None = None,
    device: str | torch.device | None = None,
    watcher: Watcher | None = None,
) -> Evaluated:
    """Measure saved weights on held-out batches; the rows go to `run` of the store.

    checkpoints: by step (the number of updates), or in any order with `steps` or with their step in their name.
    model: builds the model, which the weights are loaded into; None for folders of `save_pretrained`.
    holdout: as `watch(holdout=...)`. run: an existing one gets rows and loses none; else one of this name is made.
    only: names of INTERVENTIONS, default all but the expensive ones. device: default a GPU where there is one.
    Raises DepthscopeError for what cannot be read, loaded or run.
    """
    by_step = dict(checkpoints) if isinstance(checkpoints, Mapping) else steps_of(list(checkpoints), steps)
    kinds = chosen_kinds(only)
    name = run or f"evaluation-{time.strftime('%Y%m%d-%H%M%S')}"
    left = _left(store, name, sorted(by_step), kinds)
    skipped = tuple(step for step in sorted(by_step) if step not in left)
    if not left:
        return Evaluated(name, (), skipped, ())
    where = torch.device(device or _device())
    said = steps is not None or isinstance(checkpoints, Mapping) or _numbered(by_step.values())
    work = _Work(as_holdout(holdout, loss_fn), model, where, watcher or Watcher(), said)
    loaded = work.load(by_step[min(left)])
    sites = work.sites(loaded)
    writer = _open(store, name, left, lambda: _info(name, strategy, loaded, sites))
    status = "failed"
    try:
        for i, step in enumerate(sorted(left)):
            loaded = loaded if i == 0 else work.load(by_step[step], loaded)
            work.measure(loaded, sites, step, left[step], len(left) - i, writer)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        writer.close(status)
    return Evaluated(name, tuple(sorted(left)), skipped, tuple(work.failed))


def steps_of(checkpoints: Sequence[Checkpoint], steps: Sequence[int] | None = None) -> dict[int, Checkpoint]:
    """The checkpoints by step: as given, or the last number in each name; a single one without is step 0.

    Raises DepthscopeError where numbers are missing or not different.
    """
    if steps is None:
        numbers = [re.findall(r"\d+", Path(checkpoint).stem) for checkpoint in checkpoints]
        steps = [0] if numbers == [[]] else [int(found[-1]) for found in numbers if found]
    if not checkpoints or len(steps) != len(checkpoints) or len(set(steps)) != len(steps):
        raise DepthscopeError(
            f"expected a different step for each of {len(checkpoints)} checkpoints, got {list(steps)}; "
            "name them in the files (step-500.pt) or with --step"
        )
    return dict(zip(steps, checkpoints, strict=True))


def _numbered(checkpoints: Iterable[Checkpoint]) -> bool:
    """Whether names tell which steps these are: a pretrained model alone has no step, and is not untrained."""
    return any(re.search(r"\d", Path(checkpoint).stem) for checkpoint in checkpoints)


def _left(
    store: str | Path | None, run: str, steps: Sequence[int], kinds: dict[str, Kind]
) -> dict[int, dict[str, Kind]]:
    """By step the kinds that the store does not have."""
    done: set[tuple[int, str]] = set()
    try:
        rows = open_store(store).scalars(runs=[run], name=[f"evaluated/{kind}" for kind in kinds])
        done = {(int(step), str(name).partition("/")[2]) for step, name in zip(rows.step, rows.name, strict=True)}
    except StoreMissing:
        pass
    wanted = {step: {name: kind for name, kind in kinds.items() if (step, name) not in done} for step in steps}
    return {step: missing for step, missing in wanted.items() if missing}


def _open(
    store: str | Path | None, run: str, steps: Iterable[int], info: Callable[[], tuple[RunInfo, list[Layer]]]
) -> RunWriter:
    """The writer of a new run, or one that adds to a run that is there."""
    made = _made_here(store, run)
    if made is not None and made < min(steps):
        writer = open_run(store, RunInfo(run), resume=True, from_step=min(steps))
    elif made is not None or _exists(store, run):
        return open_run(store, RunInfo(run), append=True)
    else:
        described, layers = info()
        writer = open_run(store, described)
        writer.write(*layers)
    writer.write(*(Step(step, time.time(), sampled=True) for step in sorted(steps)))
    return writer


def _runs(store: str | Path | None) -> Any:
    try:
        found: Store = open_store(store)
    except StoreMissing:
        return None
    return found.runs()


def _exists(store: str | Path | None, run: str) -> bool:
    runs = _runs(store)
    return runs is not None and run in set(runs.run)


def _made_here(store: str | Path | None, run: str) -> int | None:
    """The last step of a run that is made of checkpoints alone."""
    runs = _runs(store)
    row = None if runs is None else next(iter(runs[runs.run == run].itertuples()), None)
    config = {} if row is None or not isinstance(row.config, str) else json.loads(row.config)
    return int(row.last_step) if row is not None and config.get("made_of") == "checkpoints" else None


def _info(run: str, strategy: str | None, model: nn.Module, sites: Sites) -> tuple[RunInfo, list[Layer]]:
    layers = []
    for block in sites.blocks:
        module = model.get_submodule(block.name)
        count = sum(p.numel() for p in module.parameters())
        layers.append(
            Layer(block.stack, block.layer, block.name, type(module).__name__, count, block.placement, block.turns > 1)
        )
    info = RunInfo(
        run,
        strategy or sites.placement,
        model=type(model).__name__,
        n_layers=max(block.layer for block in sites.blocks),
        n_params=sum(p.numel() for p in model.parameters()),
        config={"made_of": "checkpoints"},
    )
    return info, layers


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class _Work:
    """Loads one checkpoint after the other and measures it; `memory` is what kinds remember between steps."""

    holdout: Holdout
    build: Callable[[], nn.Module] | None
    device: torch.device
    watcher: Watcher
    said: bool  # step 0 is where the run began, not a number for want of another
    memory: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def load(self, checkpoint: Checkpoint, model: nn.Module | None = None) -> nn.Module:
        """The weights in `model`, or in a new one."""
        path = Path(checkpoint)
        if not path.exists():
            raise DepthscopeError(f"expected a checkpoint, found no {path}")
        if self.build is None:
            if not path.is_dir():
                raise DepthscopeError(f"expected a model for the weights in {path}; pass --model MODULE:FUNCTION")
            return open_folder(path).to(self.device)
        found = self.build() if model is None else model
        if not isinstance(found, nn.Module):
            raise DepthscopeError(f"expected a function that returns a torch module, got {type(found).__name__}")
        load_into(found, path)
        return found.to(self.device)

    def sites(self, model: nn.Module) -> Sites:
        try:
            return sites_of(model, self.holdout)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise DepthscopeError(
                f"expected {type(model).__name__} to run on the held-out batches, got {type(error).__name__}: "
                f"{reason}; are they its token ids?"
            ) from error

    def measure(
        self, model: nn.Module, sites: Sites, step: int, kinds: dict[str, Kind], left: int, writer: RunWriter
    ) -> None:
        """One checkpoint's records to the writer."""

        def estimated(estimate: Estimate) -> None:
            writer.write(Event(step, "evaluation", str(estimate)))
            self.watcher.estimated(step, left, estimate)

        def failed(kind: str, error: Exception) -> None:
            reason = str(error).partition("\n")[0][:200]
            self.failed.append(f"{kind} at step {step}: {type(error).__name__}: {reason}")

        task = Task(self.holdout, kinds, step, initial=step == 0 and self.said, memory=self.memory)
        listener = Listener(estimated, self.watcher.advance, lambda records: writer.write(*records), failed)
        evaluate(model, task, listener, sites)
