"""What is done to a run of the confusion table: to its weights, branches, gradients, batches or rates.

k is the layer that is meddled with, s the step from which it is.
"""

import math
from collections.abc import Callable

import torch
from confusion_kinds import EVERY, Act, Trial
from torch import Tensor, nn


def down(trial: Trial, at: int) -> nn.Linear:
    """The matrix with which the MLP of a layer writes to the stream."""
    return trial.blocks[at - 1].mlp.down  # type: ignore[union-attr, return-value]


def writers(trial: Trial, at: int) -> list[nn.Module]:
    """Both matrices with which a layer writes."""
    return [trial.blocks[at - 1].attn.out, down(trial, at)]  # type: ignore[union-attr, list-item]


def at_step(act: Callable[[Trial], None], later: int = 0) -> Act:
    """Done once, ahead of step s + later."""

    def before(trial: Trial, step: int) -> None:
        if step == trial.s + later:
            act(trial)

    return before


def outputs(modules: list[nn.Module], change: Callable[[Tensor], Tensor]) -> None:
    """From now on what the modules give is changed."""
    for module in modules:
        module.register_forward_hook(lambda module, inputs, output: change(output))


@torch.no_grad()
def multiply(trial: Trial, factor: float) -> None:
    """What the MLP of layer k writes becomes so much larger."""
    down(trial, trial.k).weight.mul_(factor)


def one_nan(output: Tensor) -> Tensor:
    changed = output.clone()
    changed[0, -1, 0] = math.nan
    return changed


def backward_times(trial: Trial, at: int, factor: float) -> None:
    """The gradient that enters a layer from above is so many times larger: that of it and of all below it too."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient * factor)

    trial.blocks[at - 1].register_forward_hook(hook)


def gate(trial: Trial, layers: range, factor: float) -> None:
    """Both branches of the layers add so many times less (or more)."""
    for at in layers:
        outputs(writers(trial, at), lambda output: output * factor)


def rotate(trial: Trial) -> None:
    """Every block ends with a fixed random rotation of the channels: without any block those above it read nonsense,
    every block turns the stream by about a right angle, and no channel can stand out for long."""
    generator = torch.Generator().manual_seed(trial.recipe.seed)
    for block in trial.blocks:
        turn_DD = torch.linalg.qr(torch.randn(trial.recipe.width, trial.recipe.width, generator=generator)).Q
        outputs([block], lambda output, turn_DD=turn_DD: output @ turn_DD)  # type: ignore[misc]


def freeze(trial: Trial) -> None:
    trial.blocks[trial.k - 1].requires_grad_(False)


def add_massive(trial: Trial) -> None:
    """2,000 in channel 5 of the first token, from the MLP of layer k."""

    def add(output: Tensor) -> Tensor:
        place = torch.zeros_like(output)
        place[:, 0, 5] = 2000.0
        return output + place

    outputs([down(trial, trial.k)], add)


def add_channel(trial: Trial) -> None:
    """100 in channel 5 of every token, from the MLP of layer k."""
    outputs([down(trial, trial.k)], lambda output: output + 100.0 * torch.eye(output.shape[-1])[5])


@torch.no_grad()
def zero_weights(trial: Trial) -> None:
    """The smallest fifth of every matrix of the blocks becomes 0."""
    for matrix in (each for each in trial.blocks.parameters() if each.dim() == 2):
        matrix[matrix.abs() < matrix.abs().flatten().quantile(0.2)] = 0.0


def weight_spike(trial: Trial, step: int) -> None:
    if step in (trial.s, trial.s + 1):
        multiply(trial, 300.0 if step == trial.s else 1 / 300.0)


def noise_batch(trial: Trial, step: int) -> None:
    trial.noise = step == trial.s


def rate_spike(trial: Trial, step: int) -> None:
    trial.rate = 100.0 if step == trial.s else 1.0


def loss_scale_bug(trial: Trial, step: int) -> None:
    trial.scale = 1e4 if step >= trial.recipe.steps - EVERY else 1.0


@torch.no_grad()
def embedding_jump(trial: Trial, step: int) -> None:
    if step == trial.recipe.steps - EVERY:
        trial.model.get_submodule("embed").weight.mul_(1e3)  # type: ignore[operator, union-attr]
