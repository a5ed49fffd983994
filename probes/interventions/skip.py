"""The loss when one block is left out, one branch adds nothing, or one block runs twice.

Skipping passes a block's input on, so in a post-norm model its norms are left out with it (the stream is normalised
already by the block before); zeroing a branch there keeps the norm after the sum. A gate or a layer scale inside the
block is left out with the block.
Sources: LayerNorm Scaling (arXiv 2502.05795), Skip a layer or loop it? (arXiv 2507.07996).
"""

from collections.abc import Sequence

from depthscope.store import Intervention, Record

from .context import Context
from .cost import Cost, program_cost
from .effectiveness import loop_effects, skip_effects
from .holdout import Losses, paired
from .program import LayerKey, Program

__all__ = ["intervention", "repeat", "repeat_cost", "skip", "skip_cost", "skip_programs", "zero", "zero_cost"]


def skip(context: Context) -> list[Record]:
    """Every block left out, one at a time, and what its deltas say of the whole stack."""
    rows = _measured(context, skip_programs(context.layers), "skip")
    return [*rows, *(effect for stack in context.stacks() for effect in skip_effects(_of(rows, stack), context.base))]


def skip_cost(context: Context) -> Cost:
    """About half a forward for each block."""
    return program_cost(context.layers, skip_programs(context.layers).values())


def zero(context: Context) -> list[Record]:
    """Every attention and every MLP adds nothing, one at a time."""
    rows: list[Record] = []
    programs = _zero_programs(context)
    base, found = context.bench.losses(list(programs.values()))
    for (layer, site), losses in zip(programs, found, strict=True):
        rows.append(intervention(context, base, losses, layer, "zero", site=site))
    return rows


def zero_cost(context: Context) -> Cost:
    """About half a forward for each branch."""
    return program_cost(context.layers, _zero_programs(context).values())


def repeat(context: Context) -> list[Record]:
    """Every block runs twice, one at a time, and the share that bears it."""
    rows = _measured(context, _repeat_programs(context), "repeat")
    return [*rows, *(effect for stack in context.stacks() for effect in loop_effects(_of(rows, stack), context.base))]


def repeat_cost(context: Context) -> Cost:
    """Half a forward and a block for each block."""
    return program_cost(context.layers, _repeat_programs(context).values())


def skip_programs(layers: Sequence[LayerKey]) -> dict[LayerKey, Program]:
    """One program for each block left out."""
    return {layer: Program(skipped=frozenset({layer})) for layer in layers}


def _repeat_programs(context: Context) -> dict[LayerKey, Program]:
    return {layer: Program(repeated=frozenset({layer})) for layer in context.layers}


def _zero_programs(context: Context) -> dict[tuple[LayerKey, str], Program]:
    return {branch: Program(zeroed=frozenset({branch})) for branch in context.bench.branches}


def _measured(context: Context, programs: dict[LayerKey, Program], action: str) -> list[Intervention]:
    base, found = context.bench.losses(list(programs.values()))
    return [intervention(context, base, losses, layer, action) for layer, losses in zip(programs, found, strict=True)]


def _of(rows: Sequence[Intervention], stack: str) -> list[Intervention]:
    return [row for row in rows if row.stack == stack]


def intervention(
    context: Context, base: Losses, losses: Losses, layer: LayerKey, action: str, *, site: str = "block", span: int = 1
) -> Intervention:
    """The row of one changed model against the untouched one, on the same tokens."""
    delta, error = paired(base, losses)
    return Intervention(context.step, *layer, span, site, action, losses.mean, delta, error, losses.tokens)
