"""On-device accumulators: every forward adds its numerators and weights, and one copy a step takes them to the host."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .metrics import METRICS, Metric, Of, Pool
from .sites import Key

__all__ = ["Accumulator"]


class Accumulator:
    """Numerators and weights of all metrics that look at the same kind of observation, for a fixed list of sites.

    The buffer is `[2, S, K]`: numerators and weights, S sites, K metrics; float64 where the device has it. A metric
    that raises is left out from then on and reported once through `failed`.
    """

    def __init__(
        self, of: Of, keys: Sequence[Key], device: torch.device, failed: Callable[[str, Exception], None]
    ) -> None:
        self.keys = tuple(keys)
        self.metrics: list[Metric] = [metric for metric in METRICS.values() if metric.of is of]
        self._failed = failed
        self._row = {key: i for i, key in enumerate(self.keys)}
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.buffer_2SK = torch.zeros(2, len(self.keys), len(self.metrics), dtype=dtype, device=device)
        self._is_max_K = torch.tensor([metric.pool is Pool.MAX for metric in self.metrics], device=device)

    def add(self, key: Key, observation: Any) -> None:
        """Pool one forward's share into the row of `key`: sums add, maxima keep the larger."""
        shares = [self._share(i, observation) for i in range(len(self.metrics))]
        share_2K = torch.stack([torch.stack([part[i] for part in shares]) for i in (0, 1)]).to(self.buffer_2SK)
        row_2K = self.buffer_2SK[:, self._row[key]]
        total_2K = row_2K + share_2K
        total_2K[0] = torch.where(self._is_max_K, torch.maximum(row_2K[0], share_2K[0]), total_2K[0])
        row_2K.copy_(total_2K)

    def _share(self, index: int, observation: Any) -> tuple[Tensor, Tensor]:
        metric = self.metrics[index]
        try:
            numerator, weight = metric.measure(observation)
            return numerator.to(self.buffer_2SK), weight.to(self.buffer_2SK)
        except Exception as error:
            self.metrics[index] = _silenced(metric)
            self._failed(metric.name, error)
            return _nothing(self.buffer_2SK)

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


def _silenced(metric: Metric) -> Metric:
    return Metric(**{**metric.__dict__, "measure": lambda observation: _nothing(torch.zeros(()))})


def _nothing(like: Tensor) -> tuple[Tensor, Tensor]:
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    return zero, zero
