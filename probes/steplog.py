"""What is known of every step (loss, rate, tokens), kept until the next host copy: no step waits for the device."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

from torch import Tensor

from depthscope.store import Scalar, Step

__all__ = ["StepLog"]

_COLUMNS = {field.name for field in fields(Step)} - {"step", "wall_time", "skipped", "sampled"}


@dataclass(frozen=True)
class _Value:
    step: int
    name: str
    value: float | Tensor


class StepLog:
    """Values of steps that are not written yet. Tensors stay on their device until `records` is given their values."""

    def __init__(self, tokens: int = 0) -> None:
        self._values: list[_Value] = []
        self._closed: list[tuple[int, float, bool]] = []
        self._tokens = tokens

    def note(self, step: int, name: str, value: Any) -> None:
        """Add a number or one-element tensor; raises TypeError for anything else. Losses of micro-batches average."""
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise TypeError(
                    f"expected {name} to be a number or a one-element tensor, got shape {tuple(value.shape)}"
                )
            # A copy, because running totals are updated in place; read with the step's one host copy.
            self._values.append(_Value(step, name, value.detach().reshape(()).clone()))
        elif isinstance(value, Real) or hasattr(value, "__float__"):
            self._values.append(_Value(step, name, float(value)))
        else:
            raise TypeError(f"expected {name} to be a number or a one-element tensor, got {type(value).__name__}")

    def move(self, step: int, to: int, tokens: int) -> None:
        """What was noted of `step` belongs to step `to`, which so many tokens went before."""
        self._values = [replace(v, step=to) if v.step == step else v for v in self._values]
        self._tokens = tokens

    def drop(self, step: int) -> None:
        """Forget what was noted of a step that did not count, but for the tokens it saw."""
        self._values = [v for v in self._values if v.step != step or v.name in ("tokens", "loss_scale", "skipped")]

    def close(self, step: int, wall_time: float, *, sampled: bool) -> None:
        """Step `step` is complete: its row is written at the next call of `records`."""
        self._closed.append((step, wall_time, sampled))

    def waiting(self) -> list[Tensor]:
        """The tensors whose values `records` needs, in order."""
        return [v.value for v in self._values if isinstance(v.value, Tensor)]

    def tokens_of(self, step: int) -> list[float | Tensor]:
        """What was counted on this rank in a step."""
        return [v.value for v in self._values if v.step == step and v.name == "tokens"]

    def records(
        self, host: Sequence[float], everyones: Mapping[int, float] | None = None, ranks: int = 1
    ) -> Iterator[Step | Scalar]:
        """The rows of all closed steps; `host` holds the values of `waiting`.

        everyones: tokens of all ranks, by step; where they are not known, as many on each of `ranks` as on this one.
        """
        known = everyones or {}
        numbers = iter(host)
        by_step: dict[int, dict[str, list[float]]] = {}
        for v in self._values:
            number = next(numbers) if isinstance(v.value, Tensor) else v.value
            by_step.setdefault(v.step, {}).setdefault(v.name, []).append(number)
        for step, wall_time, sampled in self._closed:
            values = by_step.pop(step, {})
            values["tokens"] = [known.get(step, ranks * sum(values.pop("tokens", [0])))]
            yield from self._rows(step, wall_time, sampled, values)
        self._closed = []
        self._values = [
            _Value(step, name, n) for step, named in by_step.items() for name, ns in named.items() for n in ns
        ]

    def _rows(
        self, step: int, wall_time: float, sampled: bool, values: dict[str, list[float]]
    ) -> Iterator[Step | Scalar]:
        self._tokens += int(sum(values.pop("tokens")))
        losses, skipped = values.pop("loss", []), any(values.pop("skipped", []))
        known: dict[str, Any] = {name: numbers[-1] for name, numbers in values.items() if name in _COLUMNS}
        loss = sum(losses) / len(losses) if losses else None
        yield Step(step, wall_time, tokens=self._tokens, loss=loss, skipped=skipped, sampled=sampled, **known)
        yield from (Scalar(step, name, numbers[-1]) for name, numbers in values.items() if name not in _COLUMNS)
