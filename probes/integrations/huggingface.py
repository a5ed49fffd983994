"""Hugging Face Trainer: `Trainer(..., callbacks=[DepthscopeCallback()])`."""

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..probe import Probe
from ..watch import watch

__all__ = ["DepthscopeCallback"]

# What the trainer logs and the probe knows better by itself.
_KNOWN = {"learning_rate", "grad_norm", "epoch", "step", "total_flos"}


class DepthscopeCallback(TrainerCallback):
    """Watches the trainer's model while it trains; takes the options of `watch`.

    The trainer's losses are logged as it logs them: the mean over `logging_steps`, at the last of them. Learning rates
    and tokens are read at every step. A trainer that resumes goes on with the run of the same name: give `run`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.probe: Probe | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        model: nn.Module = kwargs["model"]
        given = {"config": {"learning_rate": args.learning_rate, "trainer": "transformers"}, "seed": args.seed}
        if state.global_step and "run" in self.options:
            given |= {"resume": True, "start_step": state.global_step}
        self.probe = watch(model, **{**given, **self.options})

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs.get("logs") or {}
        numbers = {name: value for name, value in logs.items() if name not in _KNOWN and isinstance(value, int | float)}
        if self.probe is not None:
            self.probe.log(**numbers)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.probe is not None:
            self.probe.close()
            self.probe = None
