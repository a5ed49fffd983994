"""The three largest activations of each block output, exactly, and how many are massive by the paper's rule.

Massive Activations in Large Language Models, arXiv 2402.17762: |x| > 100 and |x| >= 1000 times the median magnitude of
the hidden state of that sequence.

Shapes: B sequences, T tokens, D features, N = B*T, E sampled entries, S layers, R = 3 ranks, F = 5 fields (value,
median, sequence, token, channel).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from depthscope.store import Massive

from .metrics import Tokens
from .metrics._metric import spread
from .sites import Key

__all__ = ["MassiveTop", "TopRow"]

RANKS, FIELDS = 3, 5


class TopRow(NamedTuple):
    """One site's three largest, its count of massive ones, and how many sequences it has seen this step."""

    top_RF: Tensor
    massive: Tensor
    sequences: Tensor


class MassiveTop:
    """Top activations of a fixed list of sites, kept on the device until the step's copy."""

    def __init__(self, keys: Sequence[Key], device: torch.device) -> None:
        self.keys = tuple(keys)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        shapes = ((RANKS, FIELDS), (), ())
        self._rows = {key: TopRow(*(torch.zeros(s, dtype=dtype, device=device) for s in shapes)) for key in self.keys}

    def row(self, key: Key) -> TopRow | None:
        """What a site writes into, None for one that is not of the list."""
        return self._rows.get(key)

    def take(self) -> Tensor:
        """Everything as one flat tensor on the device; starts again."""
        rows = list(self._rows.values())
        if not rows:
            return torch.zeros(0)
        flat = torch.cat(
            [
                torch.stack([row.top_RF for row in rows]).flatten(),
                torch.stack([row.massive for row in rows]),
                torch.stack([row.sequences for row in rows]),
            ]
        )
        torch._foreach_zero_([tensor for row in rows for tensor in (row.top_RF, row.massive, row.sequences)])
        return flat

    @property
    def size(self) -> int:
        """How many numbers `take` gives."""
        return len(self.keys) * (RANKS * FIELDS + 2)

    def combine(self, flat_Wn: Tensor) -> Tensor:
        """`[n]` out of every rank's `take`: the largest of all, sequences counted on from rank to rank."""
        ranks, sites = flat_Wn.shape[0], len(self.keys)
        tops_Wx, count_WS, sequences_WS = torch.split(flat_Wn, [sites * RANKS * FIELDS, sites, sites], dim=1)
        tops_WSRF = tops_Wx.reshape(ranks, sites, RANKS, FIELDS).clone()
        tops_WSRF[..., 2] += (sequences_WS.cumsum(0) - sequences_WS)[..., None]
        all_SXF = tops_WSRF.transpose(0, 1).flatten(1, 2)
        best_SR = all_SXF[..., 0].topk(RANKS).indices
        top_SRF = all_SXF.gather(1, best_SR[..., None].expand(-1, -1, FIELDS))
        return torch.cat([top_SRF.flatten(), count_WS.sum(0), sequences_WS.sum(0)])

    def read(self, flat: Sequence[float], step: int, phase: str) -> Iterator[Massive]:
        """Records from what `take` gave, on the host."""
        for i, (stack, layer, _) in enumerate(self.keys):
            count = int(flat[len(self.keys) * RANKS * FIELDS + i])
            for rank in range(RANKS):
                at = (i * RANKS + rank) * FIELDS
                value, median = flat[at : at + 2]
                sequence, token, channel = map(int, flat[at + 2 : at + FIELDS])
                if value and layer is not None:
                    yield Massive(step, phase, stack, layer, rank + 1, value, median, count, sequence, token, channel)


def add_top(row: TopRow, tokens: Tokens) -> None:
    """Keep the three largest of what is there and what `tokens` has; sequences count on over micro-batches."""
    found_RF, found = top_activations(tokens)
    found_RF = found_RF.to(row.top_RF.dtype)
    found_RF[:, 2] += row.sequences
    both_F = torch.cat([row.top_RF, found_RF])
    row.top_RF.copy_(both_F[both_F[:, 0].topk(RANKS).indices])
    row.massive.add_(found)
    row.sequences.add_(tokens.x_BTD.shape[0])


def top_activations(tokens: Tokens) -> tuple[Tensor, Tensor]:
    """`[R, F]` of the three largest finite magnitudes (zeros where there are fewer), and the 0-d count of massive ones.

    The three largest entries lie in the three tokens of largest maximum, so only those three rows are searched.
    """
    length, width = tokens.x_BTD.shape[1:]
    peak_N = torch.where(tokens.valid_N, tokens.abs_max_N, 0)
    best_N = peak_N.topk(min(RANKS, peak_N.shape[0])).indices
    best_ND = torch.where(tokens.valid_N[best_N, None], tokens.x_ND[best_N], 0).abs()
    value_R, at_R = best_ND.flatten().topk(min(RANKS, best_ND.numel()))
    token_R = best_N[at_R // width]
    median_B = sequence_medians(tokens)
    fields = (value_R, median_B[token_R // length], token_R // length, token_R % length, at_R % width)
    wide = torch.float32 if value_R.device.type == "mps" else torch.float64
    found_RF = torch.stack([field.to(wide) for field in fields], dim=1)
    threshold_N = (1000 * median_B).clamp_min(100).repeat_interleave(length, output_size=tokens.x_ND.shape[0])
    magnitude_ND = tokens.x_ND.abs()
    massive_ND = (magnitude_ND >= threshold_N[:, None]) & (magnitude_ND > 100) & tokens.valid_N[:, None]
    return torch.nn.functional.pad(found_RF, (0, 0, 0, RANKS - found_RF.shape[0])), massive_ND.sum()


def sequence_medians(tokens: Tokens) -> Tensor:
    """`[B]` medians of |x| over each sequence, from about `tokens.elements` in all, at least 1,024 a sequence."""
    sequences, length, width = tokens.x_BTD.shape
    index_E = spread(length * width, max(1_024, tokens.elements // sequences), tokens.x_ND.device)
    sample_BE = tokens.x_ND.reshape(sequences, -1)[:, index_E].abs()
    valid_BE = tokens.valid_N.reshape(sequences, length)[:, index_E // width]
    return torch.where(valid_BE, sample_BE, torch.nan).nanmedian(dim=1).values
