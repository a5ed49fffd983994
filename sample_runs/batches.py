"""Windows of text as batches of token ids: random ones to train on, fixed ones to measure on.

Shapes: B sequences, T tokens, N bytes of text. Targets are the ids one byte further on.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .recipes import Recipe

__all__ = ["random_batches", "spaced_batch"]


def random_batches(text: bytes, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` pairs of ids and targets `[B, T]`, windows at random places.

    The order depends on the recipe's seed and sizes and on nothing the model draws: equal for all strategies.
    """
    data_N = as_tensor(text)
    generator = torch.Generator().manual_seed(recipe.seed)
    for _ in range(recipe.steps):
        starts_B = torch.randint(len(text) - recipe.seq_len, (recipe.batch,), generator=generator)
        yield windows(data_N, starts_B, recipe.seq_len)


def spaced_batch(text: bytes, tokens: int, seq_len: int) -> tuple[Tensor, Tensor]:
    """One fixed batch of about `tokens` tokens, windows evenly spread over the text."""
    rows = max(1, tokens // seq_len)
    starts_B = torch.arange(rows) * ((len(text) - seq_len) // rows)
    return windows(as_tensor(text), starts_B, seq_len)


def as_tensor(text: bytes) -> Tensor:
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def windows(data_N: Tensor, starts_B: Tensor, seq_len: int) -> tuple[Tensor, Tensor]:
    """Ids and targets `[B, T]`, int64, of the windows that begin at these places."""
    rows_BT = data_N[starts_B[:, None] + torch.arange(seq_len + 1)].long()
    return rows_BT[:, :-1], rows_BT[:, 1:]
