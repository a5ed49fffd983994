"""The loss of every sequence of a batch, from what a model returns: sums in nats and the tokens they are over.

Which targets belong to which logits is never guessed: of a Hugging Face output it is the alignment that reproduces the
model's own loss (next token for causal models, the same place for masked and sequence-to-sequence ones).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscope.store import DepthscopeError

__all__ = ["IGNORED", "aligned", "sequence_sums"]

IGNORED = -100  # torch's own: targets that count for nothing
_PASS_LOSS = "pass loss_fn(model, batch) -> mean loss"


def sequence_sums(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """`(sums_S, tokens_S)`, float64 on the CPU: cross-entropy in nats and counted tokens of each sequence.

    Raises DepthscopeError where logits and targets do not fit.
    """
    return _sums(*aligned(model, batch))


def aligned(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Logits `[B, T, V]` with the targets `[B, T]` they are for (-100: not counted), or `[B, V]` with classes `[B]`.

    batch: ids `[B, T]` (next token); (inputs, targets); or a mapping of the forward's arguments, with `labels` or else
    `input_ids`. Targets that an attention mask of the same shape leaves out do not count.
    """
    if isinstance(batch, Mapping):
        return _of_mapping(model, dict(batch))
    if isinstance(batch, Tensor):
        return _next(_logits(model(batch)), batch)
    if len(batch) != 2:
        raise DepthscopeError(f"expected a batch of (inputs, targets), got {len(batch)} items; {_PASS_LOSS}")
    inputs, targets = batch
    return _logits(model(inputs)), targets


def _of_mapping(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    output = model(**batch)
    logits, labels = _logits(output), batch.get("labels")
    if labels is None:
        return _without_labels(logits, batch)
    shifted = labels.dim() == 2 and logits.dim() == 3 and _is_shifted(logits, labels, output)
    if "decoder_input_ids" not in batch:
        labels = _real(labels, batch.get("attention_mask"))
    return _next(logits, labels) if shifted else (logits, labels)


def _without_labels(logits: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The next token of what the model reads."""
    prefix = "decoder_" if "decoder_input_ids" in batch else ""
    ids = batch.get(f"{prefix}input_ids")
    if ids is None:
        raise DepthscopeError(f"expected a batch with labels or input_ids, got {sorted(batch)}; {_PASS_LOSS}")
    return _next(logits, _real(ids, batch.get(f"{prefix}attention_mask")))


def _real(ids_BT: Tensor, mask: Any) -> Tensor:
    """Without the targets that a mask of the same shape leaves out."""
    if not isinstance(mask, Tensor) or mask.shape != ids_BT.shape:
        return ids_BT
    return ids_BT.masked_fill(~mask.bool(), IGNORED)


def _is_shifted(logits_BTV: Tensor, labels_BT: Tensor, output: Any) -> bool:
    """Whether the model's own loss is that of the next label: the alignment whose mean is its loss."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if own is None:
        raise DepthscopeError(f"expected a model that returns its loss when given labels, got none; {_PASS_LOSS}")
    next_label = _mean(*_next(logits_BTV, labels_BT))
    if torch.isclose(next_label, own.double().cpu(), rtol=1e-5):
        return True
    same_place = _mean(logits_BTV, labels_BT)
    nearest = min(next_label, same_place, key=lambda mean: abs(float(mean) - float(own)))
    if abs(float(nearest) - float(own)) > 0.02 * abs(float(own)):
        raise DepthscopeError(
            f"expected the model's own loss {float(own):.4f} to be a cross-entropy, got {float(nearest):.4f} from its "
            f"logits; {_PASS_LOSS}"
        )
    return nearest is next_label


def _mean(logits: Tensor, targets: Tensor) -> Tensor:
    sums_S, tokens_S = _sums(logits, targets)
    return sums_S.sum() / tokens_S.sum()


def _next(logits_BTV: Tensor, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
    return logits_BTV[:, :-1], ids_BT[:, 1:]


def _sums(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`[B, T, V]` against `[B, T]`, or `[B, V]` against `[B]`: a class counts as one token."""
    if logits.shape[:-1] != targets.shape or targets.dim() not in (1, 2) or targets.is_floating_point():
        raise DepthscopeError(
            f"expected logits [B, T, V] for targets [B, T], got {list(logits.shape)} for {list(targets.shape)}; "
            f"{_PASS_LOSS}"
        )
    losses = F.cross_entropy(logits.float().movedim(-1, 1), targets, reduction="none", ignore_index=IGNORED)
    return _by_sequence(losses), _by_sequence(targets != IGNORED)


def _by_sequence(values: Tensor) -> Tensor:
    return values.double().reshape(len(values), -1).sum(1).cpu()


def _logits(output: Any) -> Tensor:
    """What a forward returns as logits: a tensor, an output's `logits`, or the first tensor with a class axis."""
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    items = output if isinstance(output, tuple | list) else ()
    found = [named, *items]
    for each in found:
        if isinstance(each, Tensor) and each.is_floating_point() and each.dim() in (2, 3):
            return each
    raise DepthscopeError(f"expected a model that returns logits, got {type(output).__name__}; {_PASS_LOSS}")
