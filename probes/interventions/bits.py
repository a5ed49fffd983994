"""Eight booleans a byte: masks that are kept take a bit a weight."""

import torch
from torch import Tensor

__all__ = ["flipped", "pack", "unpack"]


def pack(flags_n: Tensor) -> Tensor:
    """The booleans as bytes, the first in the lowest bit; what is missing of the last byte is 0."""
    padded = torch.nn.functional.pad(flags_n.to(torch.uint8), (0, -len(flags_n) % 8)).view(-1, 8)
    return (padded << _places(flags_n.device)).sum(-1, dtype=torch.uint8)


def unpack(packed: Tensor, length: int) -> Tensor:
    """The `length` booleans that were packed."""
    bits_n8 = packed.unsqueeze(-1) >> _places(packed.device)
    return bits_n8.bitwise_and_(1).view(torch.bool).flatten()[:length]


def flipped(packed: Tensor, other: Tensor) -> Tensor:
    """In how many places two packed masks differ, 0-d."""
    return (((packed ^ other).unsqueeze(-1) >> _places(packed.device)) & 1).sum()


def _places(device: torch.device) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)
