"""Read held-out sequences from a file: saved token ids, or text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from depthscope.store import DepthscopeError

from .interventions import Holdout
from .weights import tensors_of

__all__ = ["LENGTH", "TOKENS", "read_holdout"]

TOKENS = 16_384  # standard errors of a few ten-thousandths of a nat for the skip of a deep block
LENGTH = 256
_BATCH = 4_096  # tokens of a forward

Encode = Callable[[str], Sequence[int]]


def read_holdout(path: Path, *, tokens: int = TOKENS, length: int = LENGTH, encode: Encode | None = None) -> Holdout:
    """About `tokens` tokens, spread evenly over the file, in batches of next-token prediction.

    path: `.pt`, `.npy` or `.safetensors` with one tensor of token ids `[N, T]` (then `length` is not used); any other
    file is text, cut into sequences of `length` tokens: the bytes of its UTF-8, or what `encode` makes of it.
    Raises DepthscopeError where the file is none of these or too short.
    """
    try:
        ids_NT = _saved(path) if path.suffix in (".pt", ".npy", ".safetensors") else _text(path, length, encode)
    except OSError as error:
        raise DepthscopeError(f"expected held-out data in {path}, but it cannot be read: {error.strerror}") from None
    if ids_NT.dim() != 2 or ids_NT.is_floating_point() or not len(ids_NT) or ids_NT.shape[1] < 2:
        raise DepthscopeError(f"expected token ids [N, T] in {path}, got {list(ids_NT.shape)} of {ids_NT.dtype}")
    wanted = max(2, tokens // ids_NT.shape[1])
    if len(ids_NT) > wanted:
        ids_NT = ids_NT[torch.arange(wanted) * len(ids_NT) // wanted]
    return Holdout(torch.split(ids_NT.long(), max(1, _BATCH // ids_NT.shape[1])))


def _saved(path: Path) -> Tensor:
    if path.suffix == ".npy":
        import numpy as np

        try:
            return torch.from_numpy(np.load(path, allow_pickle=False))
        except (ValueError, TypeError) as error:
            raise DepthscopeError(f"expected token ids in {path}, but it is no .npy of numbers ({error})") from None
    found: Any = tensors_of(path)
    tensors = list(found.values()) if isinstance(found, dict) else [found]
    if len(tensors) != 1 or not isinstance(tensors[0], Tensor):
        raise DepthscopeError(f"expected one tensor of token ids in {path}, got {len(tensors)} items")
    return tensors[0]


def _text(path: Path, length: int, encode: Encode | None) -> Tensor:
    data = path.read_bytes()
    if encode is None:
        ids_N = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    else:
        try:
            ids_N = torch.tensor(encode(data.decode("utf-8")), dtype=torch.long)
        except UnicodeDecodeError:
            raise DepthscopeError(f"expected UTF-8 text in {path}, got other bytes; pass token ids instead") from None
    count = len(ids_N) // length
    if count < 2:
        raise DepthscopeError(f"expected text of at least {2 * length} tokens in {path}, got {len(ids_N)}")
    return ids_N[: count * length].view(count, length)
