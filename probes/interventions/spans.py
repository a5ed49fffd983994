"""The loss when several neighbouring blocks are left out together: where contiguous depth is not needed.

Source: The Unreasonable Ineffectiveness of the Deeper Layers (arXiv 2403.17887).
"""

from depthscope.store import Record

from .context import Context
from .cost import Cost, program_cost
from .program import LayerKey, Program
from .skip import intervention

__all__ = ["span_programs", "spans", "spans_cost"]

_LENGTHS = 12  # different ones at most: a grid of 48 blocks has as many columns as one of 12


def spans(context: Context) -> list[Record]:
    """Every start with every length: all lengths up to L - 1, at most 12 of them; single skips are `skip`'s."""
    programs = span_programs(context)
    base, found = context.bench.losses(list(programs.values()))
    return [
        intervention(context, base, losses, start, "skip", span=span)
        for (start, span), losses in zip(programs, found, strict=True)
    ]


def spans_cost(context: Context) -> Cost:
    """Less than half a forward for each of the L (L - 1) / 2 - 1 spans."""
    return program_cost(context.layers, span_programs(context).values())


def span_programs(context: Context) -> dict[tuple[LayerKey, int], Program]:
    """By first block and length."""
    return {
        (layers[start], length): Program(skipped=frozenset(layers[start : start + length]))
        for layers in context.stacks().values()
        for length in _lengths(len(layers))
        for start in range(len(layers) - length + 1)
    }


def _lengths(layers: int) -> list[int]:
    longest = layers - 1
    count = min(_LENGTHS, longest - 1)
    if count < 2:
        return list(range(2, longest + 1))
    return sorted({2 + round(i * (longest - 2) / (count - 1)) for i in range(count)})
