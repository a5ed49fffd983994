"""Held-out batches and the loss of every sequence in them, so that a difference comes with its standard error.

Losses are clustered by sequence: tokens of one text are not independent. Where the user brings a loss function, which
tells no more than a mean, a batch is cut along its first axis into sequences, or groups of them where there are many.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError

from ..batch import as_arguments, count_tokens, default_mask
from ..untouched import untouched
from .split import moved, rows, sequences
from .tokens import aligned, sequence_sums

__all__ = [
    "Holdout",
    "LossFn",
    "Losses",
    "as_holdout",
    "halves",
    "joined",
    "paired",
    "piece_losses",
    "pieces",
    "scored",
    "sequence_losses",
]

LossFn = Callable[[nn.Module, Any], Tensor]
"""From a model and a batch to the mean loss, 0-d, in nats a token."""

_CLUSTERS = 32  # groups that a loss function's batches are cut into: fewer make the error itself uncertain


@dataclass(frozen=True)
class Holdout:
    """The batches that interventions are measured on, and how their loss is computed (None: cross-entropy)."""

    batches: tuple[Any, ...]
    loss_fn: LossFn | None = None


@dataclass(frozen=True)
class Losses:
    """Of every sequence S (or group): its loss summed over tokens, in nats, and its tokens; float64 on the CPU."""

    sums_S: Tensor
    tokens_S: Tensor

    @property
    def mean(self) -> float:
        """Nats a token over all sequences."""
        return float(self.sums_S.sum() / self.tokens_S.sum())

    @property
    def tokens(self) -> int:
        return int(self.tokens_S.sum())


def as_holdout(batches: Any, loss_fn: LossFn | None = None) -> Holdout:
    """A tensor, a mapping or a tuple of tensors is one batch; a list, or anything else that is iterated, is several.

    Raises DepthscopeError where there is no sequence, or an item is no batch.
    """
    if isinstance(batches, Holdout):
        return batches
    several = batches if isinstance(batches, Iterable) else ()
    found = (batches,) if _is_batch(batches) else tuple(tuple(b) if isinstance(b, list) else b for b in several)
    wrong = next((each for each in found if not _is_batch(each)), None)
    if not found or wrong is not None:
        raise DepthscopeError(
            "expected held-out batches: a tensor, a mapping or a tuple of tensors, or a list of these; got "
            f"{type(batches).__name__}{'' if wrong is None else f' with {type(wrong).__name__}'}"
        )
    return Holdout(found, loss_fn)


def _is_batch(value: Any) -> bool:
    is_kind = isinstance(value, Tensor | Mapping) or (
        isinstance(value, tuple) and all(not isinstance(item, tuple | Mapping) for item in value)
    )
    return is_kind and sequences(value) > 0


def sequence_losses(model: nn.Module, holdout: Holdout) -> Losses:
    """The loss of every held-out sequence, in eval mode and without gradients; the model is left as it was."""
    with untouched(model):
        return joined([piece_losses(model, piece, holdout.loss_fn) for piece in pieces(holdout)])


def pieces(holdout: Holdout) -> Iterator[Any]:
    """What one forward each is for: the batches, or their groups of sequences where a loss function gives a mean."""
    if holdout.loss_fn is None:
        yield from holdout.batches
        return
    size = ceil(sum(sequences(batch) for batch in holdout.batches) / _CLUSTERS)
    for batch in holdout.batches:
        for start in range(0, sequences(batch), size):
            yield rows(batch, slice(start, start + size))


def halves(holdout: Holdout) -> tuple[Holdout, Holdout]:
    """Every other sequence of each batch, and the others; of batches with a single sequence every other batch.

    Raises DepthscopeError where there is a single sequence.
    """
    if all(sequences(batch) > 1 for batch in holdout.batches):
        parts = [[rows(batch, slice(start, None, 2)) for batch in holdout.batches] for start in (0, 1)]
    else:
        parts = [list(holdout.batches[start::2]) for start in (0, 1)]
    if not parts[1]:
        raise DepthscopeError("expected held-out sequences to choose on and others to report on, got one; pass more")
    even, odd = (Holdout(tuple(part), holdout.loss_fn) for part in parts)
    return even, odd


def piece_losses(model: nn.Module, piece: Any, loss_fn: LossFn | None) -> Losses:
    """The losses of one piece; with a loss function it is one cluster, weighted by its real tokens."""
    batch = _beside(model, piece)
    if loss_fn is None:
        return Losses(*sequence_sums(model, batch))
    args, kwargs = as_arguments(batch)
    tokens_1 = torch.tensor([float(count_tokens(args, kwargs, default_mask(args, kwargs)))], dtype=torch.float64)
    return Losses(loss_fn(model, batch).detach().double().cpu().reshape(1) * tokens_1, tokens_1)


def scored(model: nn.Module, piece: Any) -> tuple[Tensor, Tensor]:
    """Logits of a piece with the targets they are for; -100 is not counted."""
    return aligned(model, _beside(model, piece))


def _beside(model: nn.Module, piece: Any) -> Any:
    first = next(model.parameters(), None)
    return piece if first is None else moved(piece, first.device)


def joined(parts: Iterable[Losses]) -> Losses:
    """The sequences of several pieces as one."""
    found = list(parts)
    return Losses(torch.cat([p.sums_S for p in found]), torch.cat([p.tokens_S for p in found]))


def paired(base: Losses, other: Losses) -> tuple[float, float]:
    """`(delta, se)` of `other` minus `base` in nats a token: a ratio estimate, its error clustered by sequence.

    With d_s the difference of a sequence's sums, n_s its tokens and N = sum n: delta = sum d / N, and
    se^2 = S/(S-1) * sum (d_s - delta n_s)^2 / N^2 (Cochran, Sampling Techniques, 6.4). NaN from a single sequence.
    """
    d_S, n_S = other.sums_S - base.sums_S, base.tokens_S
    total, clusters = float(n_S.sum()), len(n_S)
    delta = float(d_S.sum()) / total
    if clusters < 2:
        return delta, float("nan")
    squares = float((d_S - delta * n_S).square().sum())
    return delta, sqrt(squares * clusters / (clusters - 1)) / total
