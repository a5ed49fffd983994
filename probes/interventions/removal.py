"""Rankings of blocks for removal: which set of a given size goes first."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .bench import Bench
from .holdout import Holdout, paired
from .program import LayerKey, Program
from .streams import Streams

__all__ = ["RANKINGS", "Removals", "skip_costs"]

_DRAWS = 3  # of random sets, so that one lucky draw is not taken for the rule

Sets = Iterator[tuple[LayerKey, ...]]


@dataclass(frozen=True)
class Removals:
    """What rankings choose from: the layers of one stack, and what was measured of them on the choosing half."""

    bench: Bench
    choosing: Holdout
    layers: tuple[LayerKey, ...]
    streams: Streams
    costs: dict[LayerKey, float]
    seed: int


def skip_costs(bench: Bench, holdout: Holdout) -> dict[LayerKey, float]:
    """The loss difference of each block left out alone."""
    base, found = bench.losses([Program(skipped=frozenset({layer})) for layer in bench.layers], holdout)
    return {layer: paired(base, losses)[0] for layer, losses in zip(bench.layers, found, strict=True)}


def by_block_influence(given: Removals, sizes: Sequence[int]) -> Sets:
    """Lowest influence first (ShortGPT)."""
    if all(layer in given.streams.influence for layer in given.layers):
        yield from _first(sorted(given.layers, key=lambda layer: given.streams.influence[layer]), sizes)


def by_angular_distance(given: Removals, sizes: Sequence[int]) -> Sets:
    """Of each size the run of neighbours that turns the stream least (Gromov et al.)."""
    for size in sizes:
        runs = [given.layers[i : i + size] for i in range(len(given.layers) - size + 1)]
        known = [run for run in runs if (run[0], run[-1]) in given.streams.turns]
        if known:
            yield min(known, key=lambda run: given.streams.turns[run[0], run[-1]])


def by_skip_loss(given: Removals, sizes: Sequence[int]) -> Sets:
    """Cheapest first, each measured alone."""
    yield from _first(sorted(given.layers, key=lambda layer: given.costs[layer]), sizes)


def greedy(given: Removals, sizes: Sequence[int]) -> Sets:
    """The cheapest block, then the one that is cheapest with it gone, and so on."""
    removed = [min(given.layers, key=lambda layer: given.costs[layer])]
    while len(removed) < max(sizes):
        left = [layer for layer in given.layers if layer not in removed]
        _, found = given.bench.losses([Program(skipped=frozenset({*removed, layer})) for layer in left], given.choosing)
        removed.append(left[min(range(len(left)), key=lambda i: found[i].mean)])
    yield from _first(removed, sizes)


def last_k(given: Removals, sizes: Sequence[int]) -> Sets:
    """The deepest blocks."""
    yield from _first(given.layers[::-1], sizes)


def at_random(given: Removals, sizes: Sequence[int]) -> Sets:
    """Three random orders: the control."""
    for draw in range(_DRAWS):
        order = list(given.layers)
        random.Random(f"{given.seed}-{draw}").shuffle(order)
        yield from _first(order, sizes)


def _first(order: Sequence[LayerKey], sizes: Sequence[int]) -> Sets:
    yield from (tuple(order[:size]) for size in sizes)


RANKINGS: dict[str, Callable[[Removals, Sequence[int]], Sets]] = {
    "block_influence": by_block_influence,
    "angular_distance": by_angular_distance,
    "skip_loss": by_skip_loss,
    "greedy": greedy,
    "last_k": last_k,
    "random": at_random,
}
