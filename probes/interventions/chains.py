"""For each sequence, is there a shorter chain of blocks that gets its last token right? An oracle search.

It knows the right answer, so it says what a perfect router could do, not what a model does. Because a search finds
something by luck, the same search with equal budget runs for shuffled answers: each sequence is searched for the answer
of another one. What that control finds is luck.
Source: Skip a layer or loop it? (arXiv 2507.07996), with a beam search in place of tree search.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscope.store import DepthscopeError, LayerEffect, Record

from .bench import Run
from .context import Context
from .cost import Cost, program_cost
from .holdout import pieces, scored
from .program import UNCHANGED, LayerKey, Program
from .tokens import IGNORED

__all__ = ["chains", "chains_cost"]

_ROUNDS = 3  # changes of a chain
_BEAM = 4  # chains that a round changes: those that most sequences like best


def chains(context: Context) -> list[Record]:
    """Shares of the held-out sequences, as layer_effects of the stack that runs last.

    chain_correct: sequences whose last token the whole model gets right. chain_kept: of these, those with a shorter
    chain that does too; chain_gained: of the others, those with a shorter chain that gets it right.
    chain_kept_shuffled, chain_gained_shuffled: the same for other sequences' answers. chain_length: mean length of the
    shortest such chains, in blocks of the model. chain_budget: chains tried; chain_sequences: sequences.
    Raises DepthscopeError with a loss function of the user's, which does not tell what the model predicts.
    """
    if context.holdout.loss_fn is not None:
        raise DepthscopeError("expected batches with targets for the search of chains, got a loss function")
    generator = torch.Generator().manual_seed(context.seed)
    tallies = {"": _Tally(), "_shuffled": _Tally()}
    for piece in pieces(context.holdout):
        with context.bench.on(piece, _last_tokens) as ((logits_BV, target_B), run):
            other_B = target_B[torch.randperm(len(target_B), generator=generator).to(target_B.device)]
            tried = _Tried(run, torch.stack([target_B, other_B]), logits_BV)
            for which, tally in enumerate(tallies.values()):
                found = _search(context.layers, tried, which)
                tally.add(tried, found, which, len(context.layers))
    measures = {name + suffix: value for suffix, tally in tallies.items() for name, value in tally.measures().items()}
    stack = context.layers[-1][0]
    return [LayerEffect(context.step, stack, None, None, measure, value) for measure, value in measures.items()]


def chains_cost(context: Context) -> Cost:
    """The single changes once, then two searches; chains of several changes run from about a third of the depth on."""
    count = len(context.layers)
    later = 2 * (_ROUNDS - 1) * _limit(count)
    return program_cost(context.layers, _changes(UNCHANGED, context.layers)) + Cost(later, later * 0.7 * count)


def _last_tokens(model: nn.Module, piece: Any) -> tuple[Tensor, Tensor]:
    """`[B, V]` logits and `[B]` target of each sequence's last counted token."""
    logits, targets = scored(model, piece)
    if targets.dim() == 1:
        return logits, targets
    places_T = torch.arange(targets.shape[1], device=targets.device)
    last_B = ((targets != IGNORED) * places_T).argmax(1)
    rows_B = torch.arange(len(targets), device=targets.device)
    return logits[rows_B, last_B], targets[rows_B, last_B]


class _Tried:
    """What every chain that ran on a piece predicts: `answers_2B` are the right answers and the shuffled ones."""

    def __init__(self, run: Run, answers_2B: Tensor, logits_BV: Tensor) -> None:
        self.answers_2B, self._run = answers_2B, run
        self.found: dict[Program, tuple[Tensor, Tensor]] = {UNCHANGED: self._read(logits_BV)}

    def __getitem__(self, program: Program) -> tuple[Tensor, Tensor]:
        """`[2, B]` losses of both answers, and `[B]` predictions."""
        if program not in self.found:
            logits_BV, _ = self._run(program)
            self.found[program] = self._read(logits_BV)
        return self.found[program]

    def _read(self, logits_BV: Tensor) -> tuple[Tensor, Tensor]:
        loss_2B = torch.stack([F.cross_entropy(logits_BV.float(), a, reduction="none") for a in self.answers_2B])
        return loss_2B.cpu(), logits_BV.argmax(-1).cpu()


def _search(layers: tuple[LayerKey, ...], tried: _Tried, which: int) -> list[Program]:
    """The chains that a search for one set of answers tries: as many for one set as for the other."""
    found = [UNCHANGED]
    for _ in range(_ROUNDS):
        beam = _favourites(found, tried, which)
        fresh = dict.fromkeys(chain for parent in beam for chain in _changes(parent, layers) if chain not in found)
        found += list(fresh)[: _limit(len(layers))]
    return found


def _limit(layers: int) -> int:
    """Chains that a round tries at most, so that both searches try as many."""
    return _BEAM * layers


def _favourites(found: Sequence[Program], tried: _Tried, which: int) -> list[Program]:
    """The chains with the lowest loss for the most sequences; then those with the lowest mean loss."""
    loss_PB = torch.stack([tried[program][0][which] for program in found])
    liked = Counter(loss_PB.argmin(0).tolist())
    order = sorted(range(len(found)), key=lambda i: (-liked[i], float(loss_PB[i].mean())))
    return [found[i] for i in order[:_BEAM]]


def _changes(program: Program, layers: Sequence[LayerKey]) -> Iterator[Program]:
    """One more block left out, or run twice."""
    for layer in layers:
        if layer not in program.changed:
            yield replace(program, skipped=program.skipped | {layer})
            yield replace(program, repeated=program.repeated | {layer})


@dataclass
class _Tally:
    """Counts of sequences, over pieces."""

    sequences: int = 0
    correct: int = 0
    kept: int = 0
    gained: int = 0
    budget: int = 0
    lengths: list[int] = field(default_factory=list)

    def add(self, tried: _Tried, found: Sequence[Program], which: int, layers: int) -> None:
        """A piece's sequences: what the whole model gets right, and what some shorter chain does."""
        answer_B = tried.answers_2B[which].cpu()
        right_B = tried[UNCHANGED][1] == answer_B
        shorter = [program for program in found if _length(program, layers) < layers]
        length_PB = torch.stack([torch.where(tried[p][1] == answer_B, _length(p, layers), layers) for p in shorter])
        best_B = length_PB.min(0).values
        found_B = best_B < layers
        self.sequences += len(answer_B)
        self.correct += int(right_B.sum())
        self.kept += int((found_B & right_B).sum())
        self.gained += int((found_B & ~right_B).sum())
        self.lengths += best_B[found_B].tolist()
        self.budget = max(self.budget, len(found) - 1)

    def measures(self) -> dict[str, float]:
        """The measures by name; a share of no sequences is left out."""
        wrong = self.sequences - self.correct
        found: dict[str, float] = {"chain_sequences": self.sequences, "chain_budget": self.budget}
        found["chain_correct"] = self.correct / self.sequences
        if self.correct:
            found["chain_kept"] = self.kept / self.correct
        if wrong:
            found["chain_gained"] = self.gained / wrong
        if self.lengths:
            found["chain_length"] = sum(self.lengths) / len(self.lengths)
        return found


def _length(program: Program, layers: int) -> int:
    """Blocks that a chain runs."""
    return layers - len(program.skipped) + len(program.repeated)
