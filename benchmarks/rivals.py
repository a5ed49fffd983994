"""What the cost benchmark attaches: depthscope, what people use today, and a floor; each as its own documentation says.

A tool is a function that attaches itself and returns what its loop must call. It raises ImportError where its package
is not installed. "Numbers" are what it kept, a step: scalars, and a histogram counts as one.
"""

import contextlib
import io
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["TOOLS", "Attached", "Setup", "Tool"]


@dataclass(frozen=True)
class Setup:
    """What a tool is attached to, and an empty folder it may write into."""

    model: nn.Module
    optimizer: Optimizer
    ids_BT: Tensor
    folder: Path


def _nothing(*args: Any) -> None:
    return


@dataclass
class Attached:
    """What a loop calls, and what was kept once it has ended."""

    before_forward: Callable[[int], None] = _nothing
    after_backward: Callable[[int, Tensor], None] = _nothing
    after_update: Callable[[int, Tensor], None] = _nothing
    close: Callable[[], None] = _nothing
    numbers: Callable[[], float] = lambda: 0.0  # a step
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """period: its costs come round in so many steps. dear: so much that few steps must do."""

    attach: Callable[[Setup], Attached]
    period: int = 1
    dear: bool = False


def nothing(setup: Setup) -> Attached:
    return Attached()


def floor(setup: Setup) -> Attached:
    """One sum of squares of every block's output: what reading the residual stream once costs."""
    sums_L = torch.zeros(len(setup.model.h))

    def hook(layer: int) -> Callable[..., None]:
        row = sums_L[layer]

        def read(module: nn.Module, args: Any, output: Tensor) -> None:
            row.copy_(torch.linalg.vector_norm(output.detach()))

        return read

    for layer, block in enumerate(setup.model.h):
        block.register_forward_hook(hook(layer))
    return Attached(numbers=lambda: float(len(setup.model.h)))


def depthscope(every: int, patience_s: float) -> Callable[[Setup], Attached]:
    """patience_s: how long statistics run as plain operations before they are compiled."""

    def attach(setup: Setup) -> Attached:
        from depthscope.probes import engine, watch
        from depthscope.store import spool

        engine.Engine.__init__.__defaults__ = (patience_s,)
        spool.start_ingest = _nothing  # folding happens when the run is over, in a process of its own
        spool._INTERVAL *= 2  # half of the time is the other side's: as many steps a segment as in a run by itself
        probe = watch(
            setup.model, store=setup.folder, run="r", every=lambda k: k % every == 0, example_inputs=setup.ids_BT
        )
        return Attached(
            after_update=lambda step, loss: probe.log(loss=loss), close=probe.close, numbers=lambda: _kept(setup.folder)
        )

    return attach


def _kept(folder: Path) -> float:
    """Values in the store, a step: keys and NULLs are not values."""
    from depthscope.store import open_store

    store = open_store(folder)
    stats = store.layer_stats(runs=["r"]).drop(columns=["run", "phase", "stack", "layer", "site"])
    massive = store.sql("SELECT count(*) * 6 AS n FROM massive")
    return float(stats.drop(columns="step").notna().sum().sum() + massive.n[0]) / len(store.steps(runs=["r"]))


def wandb(log: str) -> Callable[[Setup], Attached]:
    def attach(setup: Setup) -> Attached:
        import wandb as package

        package.init(mode="offline", dir=setup.folder, project="overhead", settings=package.Settings(silent=True))
        package.watch(setup.model, log=log, log_freq=1)
        parameters = len(list(setup.model.parameters()))
        return Attached(
            after_update=lambda step, loss: package.log({"loss": loss}),
            close=package.finish,
            numbers=lambda: float(parameters * (2 if log == "all" else 1)),
        )

    return attach


def module_monitor(setup: Setup) -> Attached:
    """torch-module-monitor with the metrics of its README."""
    from torch_module_monitor import ModuleMonitor

    monitor = ModuleMonitor(monitor_step_fn=lambda step: True)
    monitor.set_module(setup.model)
    monitor.add_activation_metric("mean", lambda x: x.mean())
    monitor.add_parameter_metric("norm", lambda x: x.norm())
    monitor.add_gradient_metric("norm", lambda x: x.norm())
    kept: list[int] = []

    def after_backward(step: int, loss: Tensor) -> None:
        monitor.monitor_parameters()
        monitor.monitor_gradients()

    def after_update(step: int, loss: Tensor) -> None:
        monitor.end_step()
        kept[:] = [len(monitor.get_step_metrics())]

    return Attached(monitor.begin_step, after_backward, after_update, numbers=lambda: float(kept[0]))


def trainscope(every_step: bool) -> Callable[[Setup], Attached]:
    def attach(setup: Setup) -> Attached:
        from trainscope import TrainScope
        from trainscope.core.config import TrainScopeConfig

        often = {"activation_metrics_every_n_steps": 1} if every_step else {}
        scope = TrainScope(
            setup.model, setup.optimizer, config=TrainScopeConfig(run_dir=str(setup.folder), run_name="r", **often)
        ).attach()
        return Attached(
            after_backward=lambda step, loss: scope.step(loss.item(), batch_index=step) and None,
            close=scope.detach,
            numbers=lambda: _arrow_numbers(setup.folder),
        )

    return attach


def _arrow_numbers(folder: Path) -> float:
    """Values a step in every layer's file, without the step; what was not measured is NaN or an empty list there."""
    import pyarrow as arrow

    total = 0.0
    for file in folder.rglob("layers/*.arrow"):
        with arrow.memory_map(str(file)) as source:
            rows = arrow.ipc.open_stream(source).read_all().to_pylist()
        kept = [value for row in rows for name, value in row.items() if name not in ("step", "hist_edges")]
        total += sum(value not in (None, []) and value == value for value in kept) / len(rows)
    return total


def torchinstruments(setup: Setup) -> Attached:
    from torchinstruments import inject_observer, remove_observer

    inject_observer(setup.model, interval=timedelta(microseconds=1), output_dir=setup.folder)
    return Attached(close=lambda: remove_observer(setup.model), numbers=lambda: _parquet_numbers(setup.folder))


def _parquet_numbers(folder: Path) -> float:
    import duckdb

    file = str(folder / "history.parquet")
    kept = duckdb.execute("SELECT count(value) / count(DISTINCT forward_index) FROM read_parquet(?)", [file]).fetchone()
    return float(kept[0])


def neural_observatory(setup: Setup) -> Attached:
    from neural_observatory import Observatory, ObservatoryConfig

    config = ObservatoryConfig(stats_only_mode=True, storage_backend="sqlite", storage_path=str(setup.folder / "o.db"))
    observatory = Observatory(setup.model, config=config)
    observatory.watch()

    def close() -> None:
        observatory.stop()
        with contextlib.redirect_stdout(io.StringIO()):
            observatory.report()

    return Attached(
        before_forward=lambda step: observatory.step(step=step), close=close,
        numbers=lambda: _observations(setup.folder / "o.db"),
    )  # fmt: skip


def _observations(database: Path) -> float:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT step, stats FROM observations").fetchall()
    return sum(len(json.loads(stats)) for _, stats in rows) / len({step for step, _ in rows})


def underflow_overflow(setup: Setup) -> Attached:
    """Hugging Face's detector: smallest and largest magnitude of every module's weights, inputs and outputs."""
    from transformers.debug_utils import DebugUnderflowOverflow

    debug = DebugUnderflowOverflow(setup.model)
    modules = list(setup.model.modules())
    seen = sum(2 + len(list(m.parameters(recurse=False))) for m in modules)
    return Attached(numbers=lambda: 2.0 * seen, facts={"debug": debug})


ALWAYS_PLAIN, AT_ONCE = float("inf"), 0.0

TOOLS: dict[str, Tool] = {
    "floor: every block's output read once": Tool(floor),
    "depthscope, every step": Tool(depthscope(1, AT_ONCE)),
    "depthscope, every 10 steps": Tool(depthscope(10, AT_ONCE), period=10),
    "depthscope, every step, no compiler": Tool(depthscope(1, ALWAYS_PLAIN)),
    "wandb.watch gradients": Tool(wandb("gradients")),
    "wandb.watch all": Tool(wandb("all")),
    "torch-module-monitor": Tool(module_monitor),
    "trainscope, every step": Tool(trainscope(every_step=True)),
    "trainscope, its defaults": Tool(trainscope(every_step=False), period=5),
    "neural-observatory": Tool(neural_observatory),
    "DebugUnderflowOverflow": Tool(underflow_overflow),
    "torchinstruments, every forward": Tool(torchinstruments, dear=True),
}
