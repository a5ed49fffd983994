"""Trains one recipe under the probe and tells how it goes: `python -m depthscope.sample_runs.train --recipe JSON`.

Each line of output is a JSON object with the `run`: first `steps`; then `step`, `loss` (nats a byte) and `rate` (steps
a second) about twice a second; last `status` with `held_out_loss`. An error is one line with `error`, and exit code 2.
"""

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscope.probes import Probe, watch
from depthscope.store import DepthscopeError, RunNameTaken

from .batches import random_batches, spaced_batch
from .checkpoints import Keep, keeper
from .corpus import Corpus, load_corpus
from .recipes import Recipe, check_recipe, from_json, model_of

__all__ = ["main", "train"]

Report = Callable[[dict[str, Any]], None]
PROBE_TOKENS = 2048  # enough tokens for every statistic of the stream
HELD_OUT_TOKENS = 8192  # the loss of so many bytes differs by a few hundredths of a nat from that of all
SECONDS_BETWEEN_REPORTS = 0.5


class Log(Protocol):
    """What the loop tells while it trains; a Probe is one."""

    @property
    def run(self) -> str: ...

    def log(self, **scalars: Any) -> None: ...

    def event(self, text: str) -> None: ...


def train(
    recipe: Recipe,
    store: str | None = None,
    run: str | None = None,
    report: Report = lambda line: None,
    checkpoints: Path | None = None,
) -> dict[str, Any]:
    """Trains the recipe into the store and returns the last report line.

    Without `run`, the recipe's own name is used, with a number behind it where it is taken. Weights are kept below the
    folder `checkpoints`, see sample_runs.checkpoints. Raises DepthscopeError (RunNameTaken for a `run` that exists)
    before the first step, nothing of its own after it.
    """
    check_recipe(recipe)
    corpus = load_corpus()
    model = model_of(recipe)
    with attach(model, recipe, corpus, store, run) as probe:
        report({"run": probe.run, "steps": recipe.steps})
        last = fit(model, recipe, corpus, probe, report, keeper(checkpoints, recipe))
        if recipe.skip_tokens and last["status"] == "finished":
            probe.evaluate(spaced_batch(corpus.held_out, recipe.skip_tokens, recipe.seq_len), only="skip")
    report(last)
    return last


def attach(model: nn.Module, recipe: Recipe, corpus: Corpus, store: str | None, run: str | None) -> Probe:
    """The probe, on the asked name or else on the first free one."""
    number = 1
    while True:
        name = run or (recipe.name if number == 1 else f"{recipe.name}-{number}")
        try:
            return watch(
                model,
                store=store,
                run=name,
                strategy=recipe.strategy,
                group=recipe.group,
                every=recipe.every,
                probe_every=recipe.probe_every,
                seed=recipe.seed,
                config={**asdict(recipe), "data_id": corpus.data_id},
                probe_batch=spaced_batch(corpus.held_out, PROBE_TOKENS, recipe.seq_len)[0],
            )
        except RunNameTaken:
            if run:
                raise
            number += 1


def fit(model: nn.Module, recipe: Recipe, corpus: Corpus, probe: Log, report: Report, keep: Keep) -> dict[str, Any]:
    """The training loop: any loop will do, the probe sees the steps by itself."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, recipe))
    held_out = spaced_batch(corpus.held_out, HELD_OUT_TOKENS, recipe.seq_len)
    held_out_loss, due, began = math.nan, 0.0, time.monotonic()
    keep(model, 0)
    for step, (ids_BT, targets_BT) in enumerate(random_batches(corpus.train, recipe)):
        loss = next_byte_loss(model, ids_BT, targets_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        if step % recipe.evaluate_every == 0 or step == recipe.steps - 1:
            held_out_loss = evaluate(model, *held_out)
            probe.log(held_out_loss=held_out_loss)
        probe.log(loss=loss.detach())
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        keep(model, step + 1)
        if not loss.isfinite():  # after the update, so that the store has this step: which layer was it?
            probe.event(f"diverged: the loss is {loss.item()} at step {step}; training ends here")
            return {"run": probe.run, "status": "diverged", "step": step, "held_out_loss": finite(held_out_loss)}
        now = time.monotonic()
        if now >= due or step == recipe.steps - 1:
            due = now + SECONDS_BETWEEN_REPORTS
            report({"run": probe.run, "step": step + 1, "loss": loss.item(), "rate": (step + 1) / (now - began)})
    return {"run": probe.run, "status": "finished", "step": recipe.steps, "held_out_loss": finite(held_out_loss)}


def lr_factor(step: int, recipe: Recipe) -> float:
    """Linear warm-up to 1, then a cosine to 0.1 at the last step."""
    warmup = recipe.warmup * recipe.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, recipe.steps - warmup)
    return 0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2


def next_byte_loss(model: nn.Module, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy of the next byte, 0-d, nats."""
    return F.cross_entropy(model(ids_BT).flatten(0, 1), targets_BT.flatten())


@torch.no_grad()
def evaluate(model: nn.Module, ids_BT: Tensor, targets_BT: Tensor) -> float:
    """The loss on held-out text, nats a byte; the model is back in its mode afterwards."""
    was_training = model.training
    model.eval()
    loss = next_byte_loss(model, ids_BT, targets_BT).item()
    model.train(was_training)
    return loss


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def say(line: dict[str, Any]) -> None:
    """One JSON line on standard output; when nobody reads it any more, the run is over."""
    try:
        print(json.dumps(line), flush=True)
    except BrokenPipeError:
        raise KeyboardInterrupt from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when trained, 2 on an error, 3 when diverged, 130 when interrupted (the store stays readable)."""
    parser = argparse.ArgumentParser(prog="python -m depthscope.sample_runs.train", description="Train one sample run.")
    parser.add_argument("--recipe", required=True, help="JSON object of the recipe's fields")
    parser.add_argument("--store", help="folder of the store")
    parser.add_argument("--run", help="name of the run; default: the recipe's, numbered where taken")
    parser.add_argument("--checkpoints", type=Path, help="folder to keep weights of some steps in")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        last = train(from_json(options.recipe), options.store, options.run, say, options.checkpoints)
    except DepthscopeError as wrong:
        say({"error": str(wrong)})
        return 2
    except KeyboardInterrupt:
        return 130
    return 3 if last["status"] == "diverged" else 0


if __name__ == "__main__":
    # A parent in the background passes on "ignore SIGINT"; both signals must end the run through its `with`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
