"""The three largest activations of each block output, exactly, and how many are massive by the paper's rule.

Massive Activations in Large Language Models, arXiv 2402.17762: |x| > 100 and |x| >= 1000 times the median magnitude of
the hidden state of that sequence.

Shapes: B sequences, T tokens, D features, N = B*T, E sampled entries, S layers, R = 3 ranks, F = 5 fields (value,
median, sequence, token, channel).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from depthscope.store import Massive

from .metrics import Tokens
from .metrics._metric import coprime_stride
from .sites import Key

__all__ = ["MassiveTop"]

RANKS, FIELDS = 3, 5


class MassiveTop:
    """Top activations of a fixed list of sites, kept on the device until the step's copy."""

    def __init__(self, keys: Sequence[Key], device: torch.device) -> None:
        self.keys = tuple(keys)
        self._row = {key: i for i, key in enumerate(self.keys)}
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.top_SRF = torch.zeros(len(self.keys), RANKS, FIELDS, dtype=dtype, device=device)
        self.count_S = torch.zeros(len(self.keys), dtype=dtype, device=device)

    def add(self, key: Key, tokens: Tokens, first_sequence: int) -> None:
        """Keep the three largest of what is there and what `tokens` has; sequences count on from `first_sequence`."""
        row = self._row[key]
        found_RF, count = top_activations(tokens, first_sequence)
        both_F = torch.cat([self.top_SRF[row], found_RF.to(self.top_SRF)])
        self.top_SRF[row] = both_F[both_F[:, 0].topk(RANKS).indices]
        self.count_S[row] += count

    def take(self) -> Tensor:
        """Everything as one flat tensor on the device; starts again."""
        flat = torch.cat([self.top_SRF.flatten(), self.count_S])
        self.top_SRF.zero_()
        self.count_S.zero_()
        return flat

    def read(self, flat: Sequence[float], step: int, phase: str) -> Iterator[Massive]:
        """Records from what `take` gave, on the host."""
        for i, (stack, layer, _) in enumerate(self.keys):
            for rank in range(RANKS):
                at = (i * RANKS + rank) * FIELDS
                value, median, sequence, token, channel = flat[at : at + FIELDS]
                if value and layer is not None:
                    count = int(flat[len(self.keys) * RANKS * FIELDS + i])
                    yield Massive(
                        step,
                        phase,
                        stack,
                        layer,
                        rank + 1,
                        value,
                        median,
                        count,
                        int(sequence),
                        int(token),
                        int(channel),
                    )


def top_activations(tokens: Tokens, first_sequence: int = 0) -> tuple[Tensor, Tensor]:
    """`[R, F]` of the three largest finite magnitudes (zeros where there are fewer), and the 0-d count of massive ones.

    The three largest entries lie in the three tokens of largest maximum, so only those three rows are searched.
    """
    length, width = tokens.x_BTD.shape[1:]
    peak_N = torch.where(tokens.valid_N, tokens.abs_max_N, 0)
    best_N = peak_N.topk(min(RANKS, peak_N.numel())).indices
    magnitude_ND = torch.where(tokens.valid_N[best_N, None], tokens.x_ND[best_N], 0).abs()
    value_R, at_R = magnitude_ND.flatten().topk(min(RANKS, magnitude_ND.numel()))
    token_R = best_N[at_R // width]
    sequence_R = token_R // length
    median_B = sequence_medians(tokens)
    fields = (value_R, median_B[sequence_R], sequence_R + first_sequence, token_R % length, at_R % width)
    found_RF = torch.stack([field.to(torch.float32 if value_R.is_mps else torch.float64) for field in fields], dim=1)
    threshold_N = (1000 * median_B).clamp_min(100).repeat_interleave(length)
    magnitude_ND = tokens.x_ND.abs()
    massive_ND = (magnitude_ND >= threshold_N[:, None]) & (magnitude_ND > 100) & tokens.valid_N[:, None]
    return torch.nn.functional.pad(found_RF, (0, 0, 0, RANKS - found_RF.shape[0])), massive_ND.sum()


def sequence_medians(tokens: Tokens, elements: int = 65_536) -> Tensor:
    """`[B]` medians of |x| over each sequence, from at least 4,096 strided entries a sequence where it has as many."""
    sequences, length, width = tokens.x_BTD.shape
    stride = coprime_stride(length * width, max(4_096, elements // sequences), width)
    sample_BE = tokens.x_ND.reshape(sequences, -1)[:, ::stride].abs()
    token_E = torch.arange(0, length * width, stride, device=sample_BE.device) // width
    valid_BE = tokens.valid_N.reshape(sequences, length)[:, token_E]
    return torch.where(valid_BE, sample_BE, torch.nan).nanmedian(dim=1).values
