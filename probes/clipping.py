"""Learn the factor of torch's gradient clipping, so that gradient norms can be told as they were before it.

`clip_grad_norm_` is imported by value in most training scripts, so wrapping it would miss them. All of its variants end
in `torch.nn.utils.clip_grad._clip_grads_with_norm_`, looked up at call time: that is wrapped while a probe lives.
"""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor, nn

from .distributed import local

__all__ = ["Clip", "StepClips", "forget_clips", "on_clip"]

_module = torch.nn.utils.clip_grad
_INNER = "_clip_grads_with_norm_"
_listeners: list["WeakMethod[Callable[[Clip], None]]"] = []  # weak: a forgotten probe must not keep its model alive
_original: list[Callable[..., None]] = []


class Clip:
    """One call of clipping: the parameters' ids, and their total norm before it, 0-d."""

    def __init__(self, parameters: Iterable[Tensor], max_norm: float, total_norm: Tensor) -> None:
        self.parameters = frozenset(id(p) for p in parameters)
        self.total_norm = local([total_norm.detach()])[0]
        self._max_norm = max_norm

    @property
    def factor(self) -> Tensor:
        """What gradients were multiplied with, 0-d, as torch computes it."""
        return torch.clamp(self._max_norm / (self.total_norm + 1e-6), max=1.0)


class StepClips:
    """The clippings of one model's gradients in the step that is open, and those that came early for the next.

    Inside a compiled graph the next step's forward is not seen to start: a clipping of parameters that this step has
    moved already is the next one's.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.now: list[Clip] = []
        self._next: list[Clip] = []
        self._moved: set[int] = set()
        self._known: tuple[frozenset[int], bool, bool] = (frozenset(), False, False)

    def add(self, clip: Clip) -> None:
        """The loop clips gradients, of this model or of another."""
        if self._covers(clip)[0]:
            (self.now if self._moved.isdisjoint(clip.parameters) else self._next).append(clip)

    def moved(self, parameters: Iterable[Tensor]) -> None:
        """These parameters have had this step's update."""
        self._moved.update(map(id, parameters))

    def turn(self) -> None:
        """The next step begins."""
        self.now, self._next, self._moved = self._next, [], set()

    def told(self) -> dict[str, Tensor]:
        """The factor where there was one clipping, and the total norm where that was of all the model's gradients."""
        if len(self.now) != 1:
            return {}
        [clip] = self.now
        norm = {"grad_norm": clip.total_norm} if self._covers(clip)[1] else {}
        return {**norm, "clip_factor": clip.factor}

    def _covers(self, clip: Clip) -> tuple[bool, bool]:
        """Whether it has some of the model's parameters, and whether it has those that are trained and no others."""
        if clip.parameters != self._known[0]:
            own = {id(p): p.requires_grad for p in self._model.parameters()}
            trained = {key for key, trains in own.items() if trains}
            some, whole = not clip.parameters.isdisjoint(own), trained <= clip.parameters <= own.keys()
            self._known = clip.parameters, some, whole
        return self._known[1:]


def on_clip(listener: Callable[[Clip], None]) -> None:
    """Call a bound method at every clipping until `forget_clips`. Does nothing where torch has no such function."""
    _listeners.append(WeakMethod(listener))
    inner = getattr(_module, _INNER, None)
    if not _original and inner is not None:
        _original.append(inner)
        setattr(_module, _INNER, _observed)


def forget_clips(listener: Callable[[Clip], None] | None) -> None:
    """Stop calling `listener`, and those that are gone; then torch's own function comes back, unless wrapped again."""
    _listeners[:] = [weak for weak in _listeners if weak() not in (None, listener)]
    if not _listeners and _original and getattr(_module, _INNER, None) is _observed:
        setattr(_module, _INNER, _original.pop())


def _observed(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total_norm = _summed(total_norm)
    _original[0](parameters, max_norm, total_norm, foreach)
    clip = Clip(parameters, max_norm, total_norm)
    for listener in [weak() for weak in _listeners]:
        if listener is not None:
            listener(clip)


def _summed(total_norm: Any) -> Tensor:
    """The norm of sharded gradients comes in parts, which torch sums over ranks for its factor.

    They are summed here in its place: no collective more than without a probe, and every rank knows the norm.
    """
    summed: Tensor = total_norm
    if hasattr(total_norm, "redistribute"):
        from torch.distributed.tensor import Replicate

        summed = total_norm.redistribute(placements=[Replicate()] * total_norm.device_mesh.ndim)
    return summed
