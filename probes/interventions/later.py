"""What leaving out a block changes behind it: the contributions of later blocks, and the output.

Contribution of block m: c_m = its output minus its input. A later block that adds the same whatever block l did does
not build on it.
Source: Do Language Models Use Their Depth Efficiently? (arXiv 2505.13898).
"""

from typing import Any

import torch
from torch import Tensor, nn

from depthscope.store import LayerEffect, Record

from .bench import Observer, Run
from .blockcall import BlockCall
from .context import Context
from .cost import Cost, program_cost
from .holdout import LossFn, pieces, scored
from .program import LayerKey, Program
from .skip import skip_programs
from .tokens import IGNORED

__all__ = ["later", "later_cost"]

_Key = tuple[str, LayerKey, LayerKey | None]  # measure, block left out, later block


def later(context: Context) -> list[Record]:
    """Three measures of layer_effects, over the real tokens of the held-out sequences.

    later_effect (l, m): ||c_m without l - c_m|| / ||c_m||, norms over all tokens; 0: block m does not build on l.
    later_effect_future (l, m): the same over the second half of every sequence when l is left out in the first only.
    output_effect (l): total variation distance of the output distributions in [0, 1], mean over tokens; not measured
    with a loss function of the user's, behind which nobody knows what is a logit.
    """
    sums = _Sums()
    for piece in pieces(context.holdout):
        usual = _Contributions()
        with context.bench.on(piece, _reader(context.holdout.loss_fn), usual.keep) as (output, run):
            for layer in context.layers:
                _without(layer, usual, output, run, sums)
    return [_row(context.step, *key, total) for key, total in sums.items()]


def later_cost(context: Context) -> Cost:
    """As skipping every block, and once more where a block left out for some tokens runs for the others."""
    count = len(context.layers)
    return program_cost(context.layers, skip_programs(context.layers).values()) + Cost(count, count * (count + 1) / 2)


class _Sums(dict[_Key, Tensor]):
    """Two sums for each number, whose ratio it is."""

    def add(self, key: _Key, numerator: Tensor, denominator: Tensor | float) -> None:
        above, below = float(numerator), float(denominator)
        self[key] = self.get(key, torch.zeros(2, dtype=torch.float64)) + torch.tensor([above, below])


class _Contributions(dict[LayerKey, Tensor]):
    """What every block adds to the stream of the untouched model, `[B, T, D]`."""

    def keep(self, call: BlockCall, after: Tensor) -> None:
        if call.stream.shape == after.shape and after.dim() > 2:
            self[call.layer] = (after - call.stream).double()

    def compared(self, measure: str, left_out: LayerKey, start: int, sums: _Sums) -> Observer:
        """Adds the change of later blocks' contributions from token `start` on."""

        def observe(call: BlockCall, after: Tensor) -> None:
            if call.layer[0] != left_out[0] or call.layer[1] <= left_out[1] or call.layer not in self:
                return
            usual = self[call.layer][..., start:, :]
            change = (after - call.stream).double()[..., start:, :] - usual
            if call.real_BT is not None:
                real = call.real_BT[:, start:]
                change, usual = change[real], usual[real]
            sums.add((measure, left_out, call.layer), change.square().sum(), usual.square().sum())

        return observe


def _reader(loss_fn: LossFn | None) -> Any:
    """Reads logits with their targets; nothing where only the user's loss function knows what a forward returns."""
    if loss_fn is None:
        return scored

    def call_only(model: nn.Module, piece: Any) -> None:
        loss_fn(model, piece)

    return call_only


def _without(layer: LayerKey, usual: _Contributions, output: Any, run: Run, sums: _Sums) -> None:
    """Leave one block out of a piece's forward: for all tokens, then for the first half of every sequence."""
    changed = run(Program(skipped=frozenset({layer})), usual.compared("later_effect", layer, 0, sums))
    if output is not None:
        (logits, targets), (other, _) = output, changed
        counted = targets != IGNORED
        moved = (other.float().softmax(-1) - logits.float().softmax(-1)).abs().sum(-1)[counted] / 2
        sums.add(("output_effect", layer, None), moved.double().sum(), float(moved.numel()))
    half = usual[layer].shape[-2] // 2 if layer in usual else 0
    if half:
        program = Program(skipped=frozenset({layer}), tokens=half)
        run(program, usual.compared("later_effect_future", layer, half, sums))


def _row(step: int, measure: str, layer: LayerKey, later: LayerKey | None, total: Tensor) -> LayerEffect:
    """Of squared norms the root of their ratio, of the output's distances their mean; no change of nothing is 0."""
    above, below = total.tolist()
    ratio = above / below if below else (float("inf") if above else 0.0)
    value = ratio if later is None else ratio**0.5
    return LayerEffect(step, layer[0], layer[1], None if later is None else later[1], measure, value)
