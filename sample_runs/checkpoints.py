"""Weights kept on the way, so that held-out measurements can be made after the training: one file a step."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from .recipes import Recipe

__all__ = ["Keep", "checkpoint_steps", "checkpoints_of", "keeper"]

Keep = Callable[[nn.Module, int], None]
"""Called with the model after each number of updates from 0 on."""


def checkpoint_steps(steps: int) -> tuple[int, ...]:
    """Updates after which weights are kept: the first, each quarter, the last."""
    return tuple(sorted({steps * quarter // 4 for quarter in range(5)}))


def keeper(folder: Path | None, recipe: Recipe) -> Keep:
    """Keeps the weights of `checkpoint_steps` in `folder`; nothing without a folder."""
    if folder is None:
        return lambda model, step: None
    mine, due = folder / recipe.name, checkpoint_steps(recipe.steps)
    mine.mkdir(parents=True, exist_ok=True)

    def keep(model: nn.Module, step: int) -> None:
        if step in due:
            draft = mine / "draft"
            torch.save(model.state_dict(), draft)
            draft.rename(mine / f"{step}.pt")

    return keep


def checkpoints_of(folder: Path, recipe: Recipe) -> dict[int, Path]:
    """The kept weights of a recipe by step, in order."""
    return dict(sorted((int(path.stem), path) for path in (folder / recipe.name).glob("*.pt")))
