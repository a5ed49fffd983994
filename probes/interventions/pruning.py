"""The joint cost of removing several blocks, because single costs do not add up.

Which blocks go is chosen on one half of the held-out sequences (every other one), the loss is reported on the other
half: a ranking must not be judged by the noise that it was chosen by.
Sources: ShortGPT (arXiv 2403.03853), The Unreasonable Ineffectiveness of the Deeper Layers (arXiv 2403.17887).
"""

from collections.abc import Sequence
from math import ceil

from depthscope.store import Intervention, Record

from .context import Context
from .cost import NOTHING, Cost, program_cost
from .holdout import Holdout, halves, paired
from .program import LayerKey, Program
from .removal import RANKINGS, Removals, skip_costs
from .streams import read_streams

__all__ = ["prune", "prune_cost"]

_POINTS = 12  # of a curve, at most


def prune(context: Context) -> list[Record]:
    """One curve for each ranking and stack: action prune_set, site the ranking, span the number of blocks removed."""
    choosing, reporting = halves(context.holdout)
    streams, costs = read_streams(context.bench, choosing), skip_costs(context.bench, choosing)
    rows: list[Record] = []
    for layers in context.stacks().values():
        sizes = _sizes(len(layers))
        given = Removals(context.bench, choosing, tuple(layers), streams, costs, context.seed)
        chosen = [(name, each) for name, ranking in RANKINGS.items() for each in ranking(given, sizes)]
        rows += _curve(context, reporting, chosen)
    return rows


def _curve(
    context: Context, reporting: Holdout, chosen: Sequence[tuple[str, tuple[LayerKey, ...]]]
) -> list[Intervention]:
    """The rows of removed sets; a set that several rankings chose is run once."""
    programs = list(dict.fromkeys(_removing(removed) for _, removed in chosen))
    base, found = context.bench.losses(programs, reporting)
    losses = dict(zip(programs, found, strict=True))
    rows = []
    for ranking, removed in chosen:
        loss = losses[_removing(removed)]
        delta, error = paired(base, loss)
        place = (context.step, removed[0][0], None, len(removed), ranking, "prune_set")
        rows.append(Intervention(*place, loss.mean, delta, error, loss.tokens))
    return rows


def _removing(removed: Sequence[LayerKey]) -> Program:
    return Program(skipped=frozenset(removed))


def _sizes(layers: int) -> list[int]:
    """How many blocks are removed: up to three quarters of them, evenly spaced."""
    most = max(1, ceil(0.75 * layers)) if layers > 1 else 0
    count = min(_POINTS, most)
    return sorted({round(most * (i + 1) / count) for i in range(count)})


def prune_cost(context: Context) -> Cost:
    """At most: the rankings on one half, greedy's candidates among it, every curve's points on the other."""
    half = program_cost(context.layers, [Program(skipped=frozenset({layer})) for layer in context.layers]).times(0.5)
    cost = half + Cost(0.5, len(context.layers) / 2)
    for layers in context.stacks().values():
        sizes = _sizes(len(layers))
        cost += _greedy_cost(layers, max(sizes, default=0)) + _points_cost(layers, sizes)
    return cost


def _greedy_cost(layers: Sequence[LayerKey], most: int) -> Cost:
    """Each round tries every block that is left; on average from the middle of the stack on."""
    cost = NOTHING
    for removed in range(1, most):
        tried = len(layers) - removed
        cost += Cost(1 + tried, len(layers) + tried * (tried - 1) / 2).times(0.5)
    return cost


def _points_cost(layers: Sequence[LayerKey], sizes: Sequence[int]) -> Cost:
    """Blocks are removed from some place on; that before it is not run again."""
    cost = Cost(0.5, len(layers) / 2)
    for size in sizes:
        curves = len(RANKINGS) + 2  # three random draws
        cost += Cost(curves, curves * (len(layers) - size) * 0.75).times(0.5)
    return cost
