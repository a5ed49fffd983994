"""What the residual stream of a whole stack tells in one forward: how far it turns, block by block and span by span."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .bench import Bench
from .blockcall import BlockCall
from .holdout import Holdout, piece_losses, pieces
from .program import LayerKey

_K = TypeVar("_K")

__all__ = ["Streams", "angular_distance", "block_influence", "last_real", "read_streams"]


@dataclass(frozen=True)
class Streams:
    """`turns`: (first layer, last layer) -> mean angular distance; `influence`: block influence of each layer."""

    turns: dict[tuple[LayerKey, LayerKey], float]
    influence: dict[LayerKey, float]


def angular_distance(before_ND: Tensor, after_ND: Tensor) -> Tensor:
    """`[N]`: arccos of the cosine over pi, in [0, 1]; 0.5 for a zero vector, as for orthogonal ones."""
    cosine_N = F.cosine_similarity(before_ND.double(), after_ND.double(), dim=-1).clamp(-1, 1)
    return torch.arccos(cosine_N) / math.pi


def block_influence(before_ND: Tensor, after_ND: Tensor) -> Tensor:
    """`[N]`: 1 minus the cosine, in [0, 2] (ShortGPT, arXiv 2403.03853)."""
    return 1 - F.cosine_similarity(before_ND.double(), after_ND.double(), dim=-1)


def last_real(stream_BTD: Tensor, real_BT: Tensor | None) -> Tensor:
    """`[B, D]` of the last real token of every sequence."""
    if real_BT is None:
        return stream_BTD[:, -1]
    places_T = torch.arange(real_BT.shape[1], device=real_BT.device)
    last_B = (real_BT * places_T).argmax(1)
    return stream_BTD[torch.arange(len(stream_BTD), device=last_B.device), last_B]


def read_streams(bench: Bench, holdout: Holdout) -> Streams:
    """One forward over the held-out batches. Spans whose ends differ in shape, and flattened streams, are left out."""
    turns: dict[tuple[LayerKey, LayerKey], list[Tensor]] = {}
    influence: dict[LayerKey, list[Tensor]] = {}

    for piece in pieces(holdout):
        ends: dict[LayerKey, tuple[Tensor, Tensor]] = {}

        def observe(call: BlockCall, after: Tensor, ends: dict[LayerKey, tuple[Tensor, Tensor]] = ends) -> None:
            if call.stream.dim() < 3 or call.stream.shape != after.shape:
                return
            before_BTD, after_BTD = (x.flatten(0, -3) for x in (call.stream, after))  # series have channels besides
            ends[call.layer] = last_real(before_BTD, call.real_BT), last_real(after_BTD, call.real_BT)
            real = slice(None) if call.real_BT is None else call.real_BT
            before_ND, after_ND = (x[real].flatten(0, -2) for x in (before_BTD, after_BTD))
            influence.setdefault(call.layer, []).append(block_influence(before_ND, after_ND))

        with bench.on(piece, lambda model, batch: piece_losses(model, batch, holdout.loss_fn), observe):
            for span, distance_B in _spans(ends).items():
                turns.setdefault(span, []).append(distance_B)
    return Streams(_means(turns), _means(influence))


def _spans(ends: dict[LayerKey, tuple[Tensor, Tensor]]) -> dict[tuple[LayerKey, LayerKey], Tensor]:
    return {
        (first, last): angular_distance(before_BD, after_BD)
        for first, (before_BD, _) in ends.items()
        for last, (_, after_BD) in ends.items()
        if first[0] == last[0] and first[1] <= last[1] and before_BD.shape == after_BD.shape
    }


def _means(found: Mapping[_K, Sequence[Tensor]]) -> dict[_K, float]:
    return {key: float(torch.cat(list(parts)).mean()) for key, parts in found.items()}
