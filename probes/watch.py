"""`watch(model)`: attach a probe to any training loop without changing it."""

import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthscope.store import DepthscopeError, RunInfo, open_run

from .batch import Mask, as_arguments, default_mask
from .choice import chosen_metrics
from .compiled import forget_graphs
from .distributed import open_once, refuse_stages, world
from .held_out import held_out_plan
from .interventions import check_whole
from .probe import Probe, is_watched
from .provenance import git_commit
from .resume import Past, past_of, updates_so_far
from .schedule import Schedule, schedule
from .session import Plan
from .sites import find_sites
from .start import Start

__all__ = ["watch"]


def watch(
    model: nn.Module,
    *,
    store: str | Path | None = None,
    run: str | None = None,
    strategy: str | None = None,
    group: str | None = None,
    every: int | Schedule = 10,
    metrics: str | Sequence[str] = "standard",
    config: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    seed: int | None = None,
    mask: Mask | None = None,
    probe_batch: Any = None,
    probe_every: int | Schedule | None = None,
    holdout: Any = None,
    evaluate_every: int | Schedule | None = None,
    evaluate_only: Sequence[str] | str | None = None,
    sites: Mapping[str, Any] | None = None,
    example_inputs: Any = None,
    start_step: int | None = None,
    resume: bool = False,
) -> Probe:
    """Measure `model` while it trains; steps are seen through torch's global optimizer hooks.

    store: folder of the store; default $DEPTHSCOPE_STORE, else ./depthscope-runs. run: unique name, or generated.
    strategy: label of the norm strategy; when absent the placement that is detected. group: what to compare it with.
    every: n samples steps 0, 1, 2, 4, 8, ... below n, then every n; or a function of the step.
    metrics: 'standard'; names out of METRICS; or 'exact': medians and updates read every entry instead of a sample.
    config, tags, seed: kept with the run; config['data_id'] names its data.
    mask: function of a forward's (args, kwargs) to [B, T] bool of real tokens; default the root's attention_mask.
    probe_batch: a fixed held-out batch (tensor, tuple or mapping of the forward's arguments), measured in eval mode
    every probe_every steps (default 10 x every) without touching random numbers, buffers or modes; phase 'probe'.
    holdout: a batch or a list of them for held-out measurements: ids, (inputs, targets), or a mapping. evaluate_every:
    make them every n steps from step 0 on, else `Probe.evaluate` does; evaluate_only: these kinds, not the cheap ones.
    sites: {'blocks': ..., 'attn': ..., 'mlp': ...} where the model is not understood by itself.
    example_inputs: arguments to trace the model with now rather than at its first training forward.
    resume: go on with a run of this name, and replace its rows, from start_step on; else from what the optimizer counts
    at its first step at the latest; else from the run's last step + 1. start_step alone: the first step of a new run.

    Raises DepthscopeError: no repeated blocks, a taken name, a model watched already, an argument out of range.
    """
    _check(model, evaluated=evaluate_every is not None)
    sampled, probed = schedule(every), schedule(_probe_every(every) if probe_every is None else probe_every)
    choice, held_out = chosen_metrics(metrics), held_out_plan(holdout, evaluate_every, evaluate_only, seed)
    found = find_sites(model, sites)
    info = RunInfo(run or _generated_name(model, strategy), strategy, group, seed=seed, config=config, tags=tuple(tags))
    start = _started(_described(info, model), model, store, start_step, resume)
    plan = Plan(sampled, probed, mask or default_mask, held_out, probe_batch, choice, strategy is not None, start)
    return _attached(Probe(model, start.writer, found, plan), model, example_inputs)


def _check(model: nn.Module, *, evaluated: bool) -> None:
    """Raises DepthscopeError for a model that is watched already, or cannot be."""
    if is_watched(model):
        raise DepthscopeError("expected a model that is not watched, this one is already; close() its probe first")
    if any(_is_scripted(part) for part in model.modules()):
        raise DepthscopeError("expected modules that run in Python, got TorchScript; watch the model it was made of")
    if any(nn.parameter.is_lazy(p) for p in model.parameters()):
        raise DepthscopeError("expected parameters that have shapes, got lazy ones; run one forward before watch()")
    if any(isinstance(part, nn.DataParallel) and len(part.device_ids) > 1 for part in model.modules()):
        raise DepthscopeError(
            "expected one copy of the model in a process, got nn.DataParallel on several devices; train with "
            "DistributedDataParallel"
        )
    if evaluated:
        check_whole(model)
    refuse_stages(model)


def _is_scripted(part: nn.Module) -> bool:
    """Whether it takes no hooks and holds weights; a scripted activation function is none of ours."""
    return isinstance(part, torch.jit.ScriptModule) and next(part.parameters(), None) is not None


def _started(info: RunInfo, model: nn.Module, store: str | Path | None, start_step: int | None, resume: bool) -> Start:
    """The run as it is opened for writing, and the step that it begins with."""
    past = past_of(store, info.run) if resume else None
    begin = _known_step(model, past) if start_step is None and past is not None else start_step
    writer = open_once(info, lambda i: open_run(store, i, resume=resume, from_step=begin))
    return Start(writer, past, known=begin is not None)


def _described(info: RunInfo, model: nn.Module) -> RunInfo:
    """With what the model and the process tell."""
    return replace(
        info,
        model=type(model).__name__,
        n_params=sum(p.numel() for p in model.parameters()),
        data_id=None if info.config is None else info.config.get("data_id"),
        world_size=world()[1],
        environment=_environment(model),
    )


def _known_step(model: nn.Module, past: Past) -> int | None:
    """The step to which the model's optimizers have come, where they are there and count."""
    updates = updates_so_far(model)
    return None if updates is None else past.step_after(updates)


def _attached(probe: Probe, model: nn.Module, example_inputs: Any) -> Probe:
    """Hook by a traced forward where there are inputs for one, else by structure; a model on meta has to be filled."""
    forget_graphs(model)
    if example_inputs is not None:
        probe.attach(*as_arguments(example_inputs))
    elif not any(p.is_meta for p in model.parameters()):
        probe.attach_blocks()
    return probe


def _probe_every(every: int | Schedule) -> int | Schedule:
    return every if callable(every) else 10 * every


def _generated_name(model: nn.Module, strategy: str | None) -> str:
    """Readable, sortable by time, and unique without a look at the store."""
    return f"{strategy or type(model).__name__}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _environment(model: nn.Module) -> dict[str, Any]:
    first = next(model.parameters(), None)
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": "cpu" if first is None else str(first.device),
        "dtype": "" if first is None else str(first.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "git_commit": git_commit(),
    }
