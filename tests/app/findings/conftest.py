"""Short trainings that are made to fail on purpose, in one store."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loops import batches, loss_of

from depthscope.app.findings import Finding, diagnose_runs
from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.sample_runs.recorded import recorded_bundles
from depthscope.store import Store, import_bundle, ingest, open_store

Prepare = Callable[[torch.nn.Module], None]
VOCAB = 64


def fit(
    store: Path,
    run: str,
    strategy: str = "pre",
    *,
    steps: int = 30,
    every: int | Callable[[int], bool] = 5,
    lr: float = 1e-3,
    metrics: str | tuple[str, ...] = "standard",
    fresh: bool = True,
    prepare: Prepare = lambda model: None,
    before: Callable[[torch.nn.Module, int], None] = lambda model, step: None,
) -> None:
    """Train a tiny decoder under the probe; `before` may meddle with it ahead of each step.

    Not `fresh`: on one batch, which it learns by heart."""
    model = build_model(strategy, layers=6, width=32, heads=2, vocab=VOCAB)
    prepare(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    with watch(model, store=store, run=run, strategy=strategy, every=every, metrics=metrics) as probe:
        for step, ids_BT in enumerate(batches(steps, vocab=VOCAB) if fresh else batches(1, vocab=VOCAB) * steps):
            before(model, step)
            loss = loss_of(model, ids_BT)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log(loss=loss.detach(), lr=lr)


def down(model: torch.nn.Module, layer: int) -> torch.nn.Linear:
    """The matrix with which the MLP of a layer writes to the stream."""
    return model.get_submodule(f"blocks.{layer - 1}.mlp.down")  # type: ignore[return-value]


def scale(layer: int, factor: float) -> Prepare:
    def by(model: torch.nn.Module) -> None:
        with torch.no_grad():
            down(model, layer).weight.mul_(factor)

    return by


def freeze(model: torch.nn.Module) -> None:
    model.get_submodule("blocks.1").requires_grad_(False)


def detach(model: torch.nn.Module) -> None:
    """Both branches of layer 4 still write, but no gradient comes back through them."""
    for branch in ("attn.out", "mlp.down"):
        model.get_submodule(f"blocks.3.{branch}").register_forward_hook(lambda module, inputs, output: output.detach())


def nan_at(layer: int, at: int) -> Callable[[torch.nn.Module, int], None]:
    def before(model: torch.nn.Module, step: int) -> None:
        if step == at:
            down(model, layer).register_forward_hook(lambda module, inputs, output: output * float("nan"))

    return before


def spike_at(layer: int, at: int) -> Callable[[torch.nn.Module, int], None]:
    def before(model: torch.nn.Module, step: int) -> None:
        if step in (at, at + 1):
            scale(layer, 1e3 if step == at else 1e-3)(model)

    return before


def grow_at(layer: int, at: int) -> Callable[[torch.nn.Module, int], None]:
    def before(model: torch.nn.Module, step: int) -> None:
        if step == at:
            scale(layer, 3e3)(model)

    return before


def backward_at(layer: int, at: int) -> Callable[[torch.nn.Module, int], None]:
    """From a step on the gradient that enters a layer from above is 300 times larger."""

    def hook(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient * 300)

    def before(model: torch.nn.Module, step: int) -> None:
        if step == at:
            model.get_submodule(f"blocks.{layer - 1}").register_forward_hook(hook)

    return before


@pytest.fixture(scope="session")
def recorded_store(tmp_path_factory) -> Store:
    """All recorded runs."""
    store = tmp_path_factory.mktemp("recorded") / "store"
    for bundle in recorded_bundles():
        import_bundle(bundle, store)
    return open_store(store)


@pytest.fixture(scope="session")
def failing(tmp_path_factory) -> dict[str, dict[str, Finding]]:
    """run -> finding name -> finding."""
    store = tmp_path_factory.mktemp("failing") / "store"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit(store, "sound")
        fit(store, "gradients only", metrics=("param_grad_norm",))
        fit(store, "nan", before=nan_at(3, 20))
        fit(store, "nan-between", before=nan_at(3, 18))
        fit(store, "spike", before=spike_at(4, 50), every=lambda step: step >= 38, steps=53, lr=1e-2, fresh=False)
        fit(store, "overflow", prepare=scale(4, 1e7), steps=8)
        fit(store, "growing late", before=grow_at(2, 30), steps=41)
        fit(store, "gradients grow late", before=backward_at(4, 30), steps=41)
        fit(store, "frozen", prepare=freeze, steps=8)
        fit(store, "detached", prepare=detach, steps=8)
        fit(store, "hot-post", "post", lr=1.0, steps=40)
    finally:
        torch.set_num_threads(threads)
    ingest(store)
    opened = open_store(store)
    found = diagnose_runs(opened, list(opened.runs()["run"]))
    return {run: {finding.name: finding for finding in findings} for run, findings in found.items()}
