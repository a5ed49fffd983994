"""Trains the runs of benchmarks/confusion_faults.py under the probe, each from a seed of its own."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from confusion_faults import FAULTS
from confusion_kinds import EVERY, Fault, Trial
from torch import nn

from depthscope.probes import Probe, watch
from depthscope.sample_runs.batches import random_batches, spaced_batch
from depthscope.sample_runs.corpus import Corpus
from depthscope.sample_runs.recipes import Recipe, model_of
from depthscope.sample_runs.train import lr_factor, next_byte_loss

SEEDS = range(1001, 1005)
"""None of them was used for the recorded runs (0, 1, 2), the demo or the tests (0), from which thresholds were set."""
HELD_OUT_TOKENS = 2048
MOMENTUM, SGD_RATE = 0.9, 0.1


@dataclass(frozen=True)
class Case:
    """One run: a kind, a strategy and what its seed decided."""

    fault: Fault
    recipe: Recipe
    k: int
    """The layer that is meddled with."""
    s: int
    """The step from which it is."""

    @property
    def name(self) -> str:
        return f"{self.fault.name}-{self.recipe.strategy}-{self.recipe.seed}"


def cases(seeds: range = SEEDS) -> Iterator[Case]:
    """Every kind of run once a seed, the strategies in turn; sound ones once a seed and strategy."""
    for number, seed in enumerate(seeds):
        for fault in FAULTS:
            several = fault.strategies if fault.name == "sound" else (fault.strategies[number % len(fault.strategies)],)
            for strategy in several:
                yield draw(fault, strategy, seed)


def draw(fault: Fault, strategy: str, seed: int) -> Case:
    """Size, norm, learning rate, layer and step of one run, from its name and seed."""
    dice = random.Random(f"{fault.name}-{strategy}-{seed}")
    layers, width = dice.choice([(6, 48), (6, 64), (7, 48)])
    recipe = Recipe(
        strategy,
        layers=layers,
        width=width,
        seq_len=dice.choice([32, 40, 48]),
        batch=4,
        steps=72,
        lr=dice.choice([1e-3, 2e-3, 3e-3]) * fault.rate,
        warmup=fault.warmup,
        norm=dice.choice(["rms", "layer"]),
        seed=seed,
        every=EVERY,
    )
    if fault.mature:
        recipe = replace(recipe, layers=5, width=16, seq_len=48, batch=32, steps=104)
    return Case(fault, recipe, dice.randrange(3, recipe.layers), EVERY * dice.randrange(6, 10))


def train(case: Case, store: Path, corpus: Corpus) -> None:
    """The run, with what is done to it."""
    recipe, fault = case.recipe, case.fault
    model = model_of(recipe)
    trial = Trial(model, recipe, case.k, case.s)
    fault.prepare(trial)
    probe = watch(
        model,
        store=store,
        run=case.name,
        strategy=fault.label.get(recipe.strategy, recipe.strategy),
        every=EVERY,
        seed=recipe.seed,
        config={"data_id": corpus.data_id, **fault.config},
        probe_batch=spaced_batch(corpus.held_out, 512, recipe.seq_len)[0],
        probe_every=24,
        holdout=spaced_batch(corpus.held_out, HELD_OUT_TOKENS, recipe.seq_len),
        evaluate_every=fault.kinds_every or None,
        evaluate_only=fault.kinds if fault.kinds_every else None,
    )
    with probe:
        fit(trial, fault, probe, corpus)
        if fault.kinds and not fault.kinds_every:
            probe.evaluate(only=fault.kinds)


def fit(trial: Trial, fault: Fault, probe: Probe, corpus: Corpus) -> None:
    """The loop of sample_runs.train, which goes on whatever the loss is."""
    optimizer = new_optimizer(trial, fault)
    usual = optimizer.param_groups[0]["lr"]
    for step, (ids_BT, targets_BT) in enumerate(random_batches(corpus.train, trial.recipe)):
        fault.before(trial, step)
        if trial.noise:
            ids_BT, targets_BT = torch.randint_like(ids_BT, 256), torch.randint_like(targets_BT, 256)
        optimizer.param_groups[0]["lr"] = usual * trial.rate * lr_factor(step, trial.recipe)
        with precision(fault):
            loss = next_byte_loss(trial.model, ids_BT, targets_BT)
        (loss * trial.scale).backward()  # type: ignore[no-untyped-call]
        if fault.clip:
            nn.utils.clip_grad_norm_(trial.model.parameters(), fault.clip)
        optimizer.step()
        optimizer.zero_grad()
        probe.log(loss=loss.detach())


def new_optimizer(trial: Trial, fault: Fault) -> torch.optim.Optimizer:
    learned = [each for each in trial.model.parameters() if each.requires_grad]
    if fault.sgd:
        return torch.optim.SGD(learned, lr=SGD_RATE, momentum=MOMENTUM)
    return torch.optim.AdamW(learned, lr=trial.recipe.lr, weight_decay=0.0)


def precision(fault: Fault) -> AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=torch.float16) if fault.autocast else nullcontext()
