"""On-device accumulators: every forward adds its numerators and weights, and one copy a step takes them to the host."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .metrics import Metric, Pool
from .metrics._metric import Pooled
from .sites import Key

__all__ = ["Accumulator"]


class Accumulator:
    """Numerators and weights of all metrics that look at the same kind of observation, for a fixed list of sites.

    Each site has a row of its own, `[2, K]`: numerators and weights of K metrics, float64 where the device has it. Rows
    share no storage: compiled graphs write into them, and a graph that writes into views of one tensor keeps that
    tensor for its backward and finds it changed. A metric that raises is left out from then on and reported once
    through `failed`.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        keys: Sequence[Key],
        device: torch.device,
        failed: Callable[[str, Exception], None],
    ) -> None:
        self.keys = tuple(keys) if metrics else ()
        self.metrics = list(metrics)
        self._failed = failed
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._rows = {key: torch.zeros(2, len(self.metrics), dtype=self.dtype, device=device) for key in self.keys}
        self._has_max = any(metric.pool is Pool.MAX for metric in self.metrics)
        is_max = [metric.pool is Pool.MAX for metric in self.metrics]
        self._is_max_K = torch.tensor(is_max, dtype=torch.bool, device=device)

    def row(self, key: Key) -> Tensor | None:
        """The `[2, K]` numerators and weights of a site, None where nothing is measured at it."""
        return self._rows.get(key)

    @property
    def size(self) -> int:
        """How many numbers `take` gives."""
        return 2 * len(self.keys) * len(self.metrics)

    def add(self, row_2K: Tensor, observation: Any) -> None:
        """Pool one forward's share into a row: sums add, maxima keep the larger."""
        share_2K = self._share(observation)
        if not self._has_max:
            row_2K.add_(share_2K)  # all that a backward graph may do to a tensor that its forward was given
            return
        total_K = torch.where(self._is_max_K, torch.maximum(row_2K[0], share_2K[0]), row_2K[0] + share_2K[0])
        row_2K.copy_(torch.stack([total_K, row_2K[1] + share_2K[1]]))

    def add_each(self, rows: Sequence[Tensor], observation: Any) -> None:
        """Pool what several sites bring at once: the metrics' shares end in `[S]`, one for each row. Sums only."""
        shares_2KS = self._share(observation)
        torch._foreach_add_(list(rows), list(shares_2KS.unbind(-1)))

    def divide(self, factor: Tensor) -> None:
        """Divide every numerator by a 0-d factor."""
        for row_2K in self._rows.values():
            row_2K[0] /= factor.to(row_2K)

    def rescale(self, flat: Tensor, factor: float) -> None:
        """Multiply every numerator of what `take` gave."""
        flat.view(len(self.keys), 2, len(self.metrics))[:, 0] *= factor

    def _share(self, observation: Any) -> Tensor:
        try:
            parts = [metric.measure(observation) for metric in self.metrics]
        except Exception:
            parts = [self._guarded(i, observation) for i in range(len(self.metrics))]
        columns = [torch.stack([part[side].to(self.dtype) for part in parts]) for side in (0, 1)]
        return torch.stack(columns).to(self._device)

    def _guarded(self, index: int, observation: Any) -> Pooled:
        metric = self.metrics[index]
        try:
            return metric.measure(observation)
        except Exception as error:
            zero = torch.zeros((), dtype=self.dtype, device=self._device)
            self.metrics[index] = replace(metric, measure=lambda observation: (zero, zero))
            self._failed(f"metric {metric.name}", error)
            return zero, zero

    def take(self) -> Tensor:
        """The sums so far as one flat tensor on the device; starts again from zero."""
        rows = list(self._rows.values())
        if not rows:
            return torch.zeros(0, dtype=self.dtype, device=self._device)
        flat = torch.stack(rows).flatten()
        torch._foreach_zero_(rows)
        return flat

    def combine(self, flat_Wn: Tensor) -> Tensor:
        """`[n]` out of every rank's `take`: sums add, maxima keep the larger."""
        rows_WS2K = flat_Wn.view(flat_Wn.shape[0], len(self.keys), 2, len(self.metrics))
        total_S2K = rows_WS2K.sum(0)
        total_S2K[:, 0] = torch.where(self._is_max_K, rows_WS2K[:, :, 0].amax(0), total_S2K[:, 0])
        return total_S2K.flatten()

    def read(self, flat: Sequence[float]) -> Iterator[tuple[Key, dict[str, float]]]:
        """Values by site from what `take` gave, on the host; a metric without any weight at a site was not measured."""
        k = len(self.metrics)
        for i, key in enumerate(self.keys):
            numerators, weights = flat[2 * i * k : (2 * i + 1) * k], flat[(2 * i + 1) * k : 2 * (i + 1) * k]
            values = {
                metric.name: numerator / (weight if metric.pool is Pool.MEAN else 1)
                for metric, numerator, weight in zip(self.metrics, numerators, weights, strict=True)
                if weight
            }
            if values:
                yield key, values
