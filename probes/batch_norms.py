"""Norms that keep running statistics of the batch: how far each batch lies from what they have kept.

They are known by their buffers: `running_mean` and `running_var` of torch's batch norms, `mean` and `var`, or `power`,
the running mean square of PowerNorm. A batch's statistics are those of everything the layer is given, padding too,
because that is what it normalises by; they are compared with the running ones before this forward changes them. Only
training forwards of sampled steps count, outside compiled graphs, on the first rank's own batch.

Rows have site `norm`: one a layer, the mean over its norms (a block that runs several times: at its first layer), and
one without a layer for the norms outside the blocks. Shapes: B, T, D as everywhere; D is the layer's channels.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depthscope.store import LayerStats, Scalar, Step

from .accumulate import Accumulator
from .choice import STANDARD, Choice
from .inert import Inert
from .metrics import BatchStatistics, Of
from .sites import Key, Sites

__all__ = ["BatchNorms"]

SITE = "norm"
_NOTE = "\0norm."  # begins the names of notes that are no scalars of the user's
_KINDS = (("running_mean", "running_var"), ("mean", "var"), (None, "power"))


@dataclass(frozen=True)
class _Norm:
    """One such module, with the names of its running statistics."""

    module: nn.Module
    key: Key
    mean: str | None
    spread: str


class BatchNorms:
    """Hooks on these modules (`handles`) and the sums of a step. `recording` says whether a forward counts."""

    def __init__(
        self,
        model: nn.Module,
        sites: Sites,
        device: torch.device,
        recording: Callable[[], bool],
        failed: Callable[[str, Exception], None],
        choice: Choice = STANDARD,
    ) -> None:
        metrics = choice.of(Of.BATCH)
        norms = list(_found(model, sites)) if metrics else []
        self._sums = Accumulator(metrics, list(dict.fromkeys(norm.key for norm in norms)), device, failed)
        self.handles: list[RemovableHandle] = [
            norm.module.register_forward_pre_hook(_Before(norm, self._sums, recording, failed)) for norm in norms
        ]

    def take(self) -> dict[str, Tensor]:
        """The sums of the step as notes of its log, 0-d each; the next step starts from zero."""
        if not self.handles:
            return {}
        return {f"{_NOTE}{i}": value for i, value in enumerate(self._sums.take())}

    def told(self, rows: Iterable[Step | Scalar]) -> Iterator[Step | Scalar | LayerStats]:
        """The rows that are to be written: notes that were read become rows of their layers."""
        noted: dict[int, list[float]] = {}
        for row in rows:
            if isinstance(row, Scalar) and row.name.startswith(_NOTE):
                noted.setdefault(row.step, []).append(row.value)
            else:
                yield row
        for step, flat in noted.items():
            for (stack, layer, site), values in self._sums.read(flat):
                yield LayerStats(step, "train", stack, layer, site, values)


class _Before(Inert):
    """Sees what a norm is about to normalise, while its running statistics are still those of the batches before."""

    def __init__(
        self,
        norm: _Norm,
        sums: Accumulator,
        recording: Callable[[], bool],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._norm, self._sums, self._recording, self._failed = norm, sums, recording, failed

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling() or not (module.training and self._recording()):
            return
        if torch._C._current_graph_task_id() != -1:  # a checkpoint runs the layer once more
            return
        try:
            row_2K = self._sums.row(self._norm.key)
            if row_2K is not None:
                with torch.no_grad():
                    self._sums.add(row_2K, _statistics(self._norm, args[0].detach()))
        except Exception as error:
            self._failed("batch statistics", error)


def _found(model: nn.Module, sites: Sites) -> Iterator[_Norm]:
    layers = {block.name: (block.stack, block.layer) for block in sites.blocks if block.turn == 0}
    for path, module in model.named_modules():
        kind = next((names for names in _KINDS if _has(module, names)), None)
        if kind is not None:
            inside = next((layers[block] for block in _prefixes(path) if block in layers), ("main", None))
            yield _Norm(module, (*inside, SITE), *kind)


def _has(module: nn.Module, names: tuple[str | None, str]) -> bool:
    """One number a channel for each, kept by the module itself."""
    own = dict(module.named_buffers(recurse=False, remove_duplicate=False))
    buffers = [own.get(name) for name in names if name is not None]
    return all(buffer is not None and buffer.dim() == 1 and buffer.is_floating_point() for buffer in buffers)


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(len(parts), 0, -1)]


def _statistics(norm: _Norm, x: Tensor) -> BatchStatistics:
    """Of all positions, for each channel: on axis 1 in torch's own batch norms, else on the last."""
    channels_first = isinstance(norm.module, nn.modules.batchnorm._BatchNorm) and x.dim() > 2
    x_ND = (x.movedim(1, -1) if channels_first else x).reshape(-1, x.shape[1 if channels_first else -1]).float()
    running_D = norm.module.get_buffer(norm.spread).float()
    if norm.mean is None:
        return BatchStatistics(None, x_ND.square().mean(0), None, running_D)
    running_mean_D = norm.module.get_buffer(norm.mean).float()
    return BatchStatistics(x_ND.mean(0), x_ND.var(0, correction=0), running_mean_D, running_D)
