"""Lightning: `Trainer(..., callbacks=[DepthscopeCallback()])`."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from ..probe import Probe
from ..watch import watch

__all__ = ["DepthscopeCallback"]


class DepthscopeCallback(Callback):
    """Watches the trained model; takes the options of `watch`, and `model`, the name of the network in the module.

    Lightning calls `training_step`, not the module itself, so what is watched is the part that holds most parameters,
    where there is one: `self.network = ...`. Losses are read at every batch, learning rates and tokens at every step.
    """

    def __init__(self, model: str | None = None, **options: Any) -> None:
        self.model, self.options = model, options
        self.probe: Probe | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = _network(pl_module) if self.model is None else pl_module.get_submodule(self.model)
        given: dict[str, Any] = {"config": {"trainer": "lightning"}}
        if trainer.global_step and "run" in self.options:
            given |= {"resume": True, "start_step": trainer.global_step}
        self.probe = watch(network, **{**given, **self.options})

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if self.probe is not None and loss is not None:
            self.probe.log(loss=loss)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close("finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close("interrupted" if isinstance(exception, KeyboardInterrupt) else "failed")

    def _close(self, status: str) -> None:
        if self.probe is not None:
            self.probe.close(status)
            self.probe = None


def _network(module: nn.Module) -> nn.Module:
    """The child with at least half of the parameters, when it can be called; else the module."""
    largest = max(module.children(), key=_size, default=module)
    callable_ = not isinstance(largest, nn.ModuleList | nn.ModuleDict | nn.ParameterList)
    return largest if callable_ and 2 * _size(largest) >= _size(module) else module


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
