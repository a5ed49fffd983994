"""The angular distance of every span of blocks: how far the stream turns from a block's input to a later output.

Arccos of the cosine over pi, at the last real token of every sequence, averaged over sequences.
It is blind to scale: a block that only multiplies the stream has distance 0.
Source: The Unreasonable Ineffectiveness of the Deeper Layers (arXiv 2403.17887).
"""

from depthscope.store import Distance, Record

from .context import Context
from .cost import Cost
from .streams import read_streams

__all__ = ["distances", "distances_cost"]


def distances(context: Context) -> list[Record]:
    """One row for every first block and length."""
    turns = read_streams(context.bench, context.holdout).turns
    return [
        Distance(context.step, stack, first, last - first + 1, distance)
        for ((stack, first), (_, last)), distance in turns.items()
    ]


def distances_cost(context: Context) -> Cost:
    """One forward, whatever the number of spans."""
    return Cost(1, len(context.layers))
