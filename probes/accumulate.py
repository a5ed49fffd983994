"""On-device accumulators: every forward adds its numerators and weights, and one copy a step takes them to the host."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .metrics import METRICS, Of, Pool
from .metrics._metric import Pooled
from .sites import Key

__all__ = ["Accumulator"]


class Accumulator:
    """Numerators and weights of all metrics that look at the same kind of observation, for a fixed list of sites.

    The buffer is `[2, S, K]`: numerators and weights, S sites, K metrics; float64 where the device has it. `row` gives
    a site its view, because an index would be a constant of every compiled graph. A metric that raises is left out from
    then on and reported once through `failed`.
    """

    def __init__(
        self, of: Of, keys: Sequence[Key], device: torch.device, failed: Callable[[str, Exception], None]
    ) -> None:
        self.keys = tuple(keys)
        self.metrics = [metric for metric in METRICS.values() if metric.of is of]
        self._failed = failed
        self._row = {key: i for i, key in enumerate(self.keys)}
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.buffer_2SK = torch.zeros(2, len(self.keys), len(self.metrics), dtype=dtype, device=device)
        self._is_max_K = torch.tensor([metric.pool is Pool.MAX for metric in self.metrics], device=device)

    def row(self, key: Key) -> Tensor:
        """The `[2, K]` view of a site's numerators and weights."""
        return self.buffer_2SK[:, self._row[key]]

    def add(self, row_2K: Tensor, observation: Any) -> None:
        """Pool one forward's share into a row: sums add, maxima keep the larger."""
        share_2K = self._share(observation)
        total_K = torch.where(self._is_max_K, torch.maximum(row_2K[0], share_2K[0]), row_2K[0] + share_2K[0])
        row_2K.copy_(torch.stack([total_K, row_2K[1] + share_2K[1]]))

    def fill(self, observation: Any) -> None:
        """Write all rows at once, from an observation that holds a vector over the sites."""
        self.buffer_2SK.copy_(self._share(observation).transpose(1, 2))

    def _share(self, observation: Any) -> Tensor:
        try:
            parts = [metric.measure(observation) for metric in self.metrics]
        except Exception:
            parts = [self._guarded(i, observation) for i in range(len(self.metrics))]
        columns = [torch.stack([part[side].to(self.buffer_2SK.dtype) for part in parts]) for side in (0, 1)]
        return torch.stack(columns).to(self.buffer_2SK.device)

    def _guarded(self, index: int, observation: Any) -> Pooled:
        metric = self.metrics[index]
        try:
            return metric.measure(observation)
        except Exception as error:
            zero = self.buffer_2SK.new_zeros(())
            self.metrics[index] = replace(metric, measure=lambda observation: (zero, zero))
            self._failed(f"metric {metric.name}", error)
            return zero, zero

    def take(self) -> Tensor:
        """The sums so far as one flat tensor on the device; starts again from zero."""
        flat = self.buffer_2SK.flatten().clone()
        self.buffer_2SK.zero_()
        return flat

    def read(self, flat: Sequence[float]) -> Iterator[tuple[Key, dict[str, float]]]:
        """Values by site from what `take` gave, on the host; a metric without any weight at a site was not measured."""
        k, half = len(self.metrics), len(self.keys) * len(self.metrics)
        for i, key in enumerate(self.keys):
            values = {
                metric.name: flat[i * k + j] / (flat[half + i * k + j] if metric.pool is Pool.MEAN else 1)
                for j, metric in enumerate(self.metrics)
                if flat[half + i * k + j]
            }
            if values:
                yield key, values
