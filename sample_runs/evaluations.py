"""What is measured on held-out text of the weights that recorded runs kept, and when: as data."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console

from depthscope.probes import evaluate_checkpoints

from .batches import spaced_batch
from .checkpoints import checkpoints_of
from .corpus import load_corpus
from .recipes import STANDARD, Recipe, model_of

__all__ = ["ROUNDS", "Round", "evaluate_all"]

TOKENS = 4096
"""The paired standard error of a skipped block's delta is then about 0.002 nats; a forward takes a quarter second."""


@dataclass(frozen=True)
class Round:
    """Kinds of INTERVENTIONS, at these shares of the training, for these strategies (all where empty) and seeds."""

    at: tuple[float, ...]
    only: tuple[str, ...]
    strategies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)

    def concerns(self, recipe: Recipe) -> bool:
        return recipe.seed in self.seeds and (not self.strategies or recipe.strategy in self.strategies)


ROUNDS = (
    Round(at=(0, 0.5, 1), only=("skip", "near_zero")),
    Round(at=(0, 1), only=("sparsity",)),
    Round(at=(1,), only=("zero", "repeat", "distances", "jacobian")),
    Round(at=(1,), only=("later", "spans", "prune"), strategies=STANDARD),
    Round(at=(1,), only=("skip",), seeds=(1, 2)),
)


def evaluate_all(recipes: Sequence[Recipe], work: Path, console: Console, workers: int) -> None:
    """Adds the rounds to the runs in `work/store`; what they have already is not measured again."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(evaluate_one, recipe, work): recipe.name for recipe in recipes}
        for job in as_completed(jobs):
            console.print(f"{jobs[job]}: measured at steps {job.result()}", markup=False, highlight=False)


def evaluate_one(recipe: Recipe, work: Path) -> list[int]:
    """All rounds of one run; returns the steps whose weights were there."""
    torch.set_num_threads(1)
    kept = checkpoints_of(work / "checkpoints", recipe)
    held_out = spaced_batch(load_corpus().held_out, TOKENS, recipe.seq_len)
    for each in ROUNDS:
        steps = [int(share * recipe.steps) for share in each.at]
        chosen = {step: kept[step] for step in steps if step in kept}  # a run that diverged has no last ones
        if chosen and each.concerns(recipe):
            evaluate_checkpoints(
                chosen,
                partial(model_of, recipe),
                held_out,
                store=work / "store",
                run=recipe.name,
                only=each.only,
                device="cpu",
            )
    return list(kept)
