"""Batches, a loss and a plain training loop for tests that train."""

from typing import Any

import torch
from torch import nn


def batches(count: int, size: int = 4, length: int = 12, vocab: int = 64, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(vocab, (size, length), generator=generator) for _ in range(count)]


def loss_of(model: nn.Module, ids_BT: torch.Tensor) -> torch.Tensor:
    logits_BTV = model(ids_BT)
    return nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())


def train(
    model: nn.Module, steps: int = 4, probe: Any = None, lr: float = 1e-2, clip: float | None = None
) -> list[float]:
    """A plain loop; returns the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    losses = []
    for ids_BT in batches(steps):
        loss = loss_of(model, ids_BT)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        if probe is not None:
            probe.log(loss=loss)
        losses.append(loss.item())
    return losses
