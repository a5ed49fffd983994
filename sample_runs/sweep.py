"""Trains the sweep of learning rates: `python -m depthscope.sample_runs.sweep [--table FILE]`, a loss for each point.

Each strategy at each rate of SWEEP_RATES, then at rates beyond an edge of the grid where the best one lies there. All
in one process, one after another and without a probe: the runs are short, and nothing but their losses is kept. The
table is written after every run, and what it has is not trained again.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from depthscope.store import DepthscopeError

from .checkpoints import keeper
from .corpus import Corpus, load_corpus
from .recipes import CLAIMED, SWEEP, SWEEP_RATES, SWEEP_SEEDS, SWEEP_WIDEN, Recipe, model_of
from .train import fit

__all__ = ["TABLE", "Point", "read_sweep", "sweep"]

TABLE = Path(__file__).with_name("recorded") / "sweep.json"


@dataclass(frozen=True)
class Point:
    """One run of the sweep; losses are held-out, nats a byte, None where there is none."""

    strategy: str
    lr: float
    seed: int
    final: float | None
    """At the last step; None where the run diverged."""
    best: float | None
    """Lowest of those measured on the way."""
    diverged: bool


@dataclass
class Losses:
    """Stands where the training loop expects a probe, and keeps the held-out losses."""

    run: str
    held_out: list[float] = field(default_factory=list)

    def log(self, **scalars: Any) -> None:
        if "held_out_loss" in scalars:
            self.held_out.append(scalars["held_out_loss"])

    def event(self, text: str) -> None:
        """Nothing: the last report says that a run diverged."""


def sweep(
    base: Recipe, strategies: Sequence[str], rates: Sequence[float], seeds: Sequence[int], table: Path
) -> list[Point]:
    """Trains what the table lacks of every strategy, rate and seed, and the rates beyond an edge; returns all points.

    Raises DepthscopeError where the table was made from another recipe or text.
    """
    corpus = load_corpus()
    points = _resumed(table, base, corpus)
    for seed in seeds:
        for strategy in strategies:
            while (lr := missing_rate(points, strategy, seed, rates)) is not None:
                points.append(train_point(replace(base, strategy=strategy, lr=lr, seed=seed), corpus))
                _write(table, base, corpus, points)
    return points


def missing_rate(points: Sequence[Point], strategy: str, seed: int, rates: Sequence[float]) -> float | None:
    """The next rate this strategy is to be trained at with this seed; None where it has all of them."""
    own = [point for point in points if point.strategy == strategy]
    have = {point.lr for point in own if point.seed == seed}
    grid = sorted({*rates, *(point.lr for point in own)})
    first = next((rate for rate in grid if rate not in have), None)
    return first if first is not None else wider([point for point in own if point.seed == own[0].seed], rates)


def wider(own: Sequence[Point], rates: Sequence[float]) -> float | None:
    """Half the lowest rate or twice the highest where the best lies there, at most SWEEP_WIDEN times to each side.

    `own` are a strategy's points of its first seed; the other seeds train at the same rates.
    """
    losses = {point.lr: point.final for point in own if point.final is not None}
    if not losses:
        return None
    tried = sorted(point.lr for point in own)
    best = min(losses, key=lambda rate: (losses[rate], rate))
    if best == tried[0] > min(rates) / 2**SWEEP_WIDEN:
        return best / 2
    if best == tried[-1] < max(rates) * 2**SWEEP_WIDEN:
        return best * 2
    return None


def train_point(recipe: Recipe, corpus: Corpus) -> Point:
    """One run, of which the losses stay."""
    kept = Losses(recipe.name)
    last = fit(model_of(recipe), recipe, corpus, kept, lambda line: None, keeper(None, recipe))
    diverged = last["status"] == "diverged" or last["held_out_loss"] is None
    finite = [loss for loss in kept.held_out if math.isfinite(loss)]
    point = Point(
        strategy=recipe.strategy,
        lr=recipe.lr,
        seed=recipe.seed,
        final=None if diverged else last["held_out_loss"],
        best=min(finite, default=None),
        diverged=diverged,
    )
    print(json.dumps(asdict(point)), flush=True)
    return point


def read_sweep(table: Path = TABLE) -> tuple[Recipe, list[Point]]:
    """What every run of the sweep had in common, and its points; raises FileNotFoundError where there is none."""
    content = json.loads(table.read_text(encoding="utf-8"))
    return Recipe(**content["recipe"]), [Point(**point) for point in content["points"]]


def _resumed(table: Path, base: Recipe, corpus: Corpus) -> list[Point]:
    if not table.exists():
        return []
    recipe, points = read_sweep(table)
    if (recipe, json.loads(table.read_text(encoding="utf-8"))["data_id"]) != (base, corpus.data_id):
        raise DepthscopeError(
            f"expected {table} to hold runs of this sweep, but another recipe or text made it: "
            "name another --table, or remove it"
        )
    return points


def _write(table: Path, base: Recipe, corpus: Corpus, points: Sequence[Point]) -> None:
    """One point a line; a reader sees the old table or the new one."""
    draft = table.with_suffix(".draft")
    draft.write_text("".join(_lines(base, corpus, points)), encoding="utf-8")
    draft.replace(table)


def _lines(base: Recipe, corpus: Corpus, points: Sequence[Point]) -> Iterator[str]:
    rows = ",\n".join(json.dumps(asdict(point)) for point in points)
    yield f'{{"recipe": {json.dumps(asdict(base))},\n'
    yield f'"data_id": "{corpus.data_id}",\n'
    yield f'"points": [\n{rows}\n]}}\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 on an error told in one line."""
    parser = argparse.ArgumentParser(prog="python -m depthscope.sample_runs.sweep", description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="file of the losses; default: the recorded one")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        sweep(SWEEP, CLAIMED, SWEEP_RATES, SWEEP_SEEDS, options.table)
    except DepthscopeError as wrong:
        print(f"depthscope: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
