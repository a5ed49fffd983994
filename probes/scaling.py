"""Learn of torch's loss scaling: its scale, and the steps it drops because gradients overflowed.

A dropped step never reaches the optimizer, so the optimizer's hooks do not see it. `GradScaler.step` ends in
`_maybe_opt_step`, which decides: that is wrapped, while a probe lives.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

__all__ = ["forget_scaling", "on_scaling"]

_INNER = "_maybe_opt_step"
Listener = Callable[[Optimizer, Tensor, bool], None]
"""(optimizer, scale as 0-d tensor, whether its step is over): called before and after a scaled step."""

_listeners: list["WeakMethod[Listener]"] = []
_original: list[Callable[..., Any]] = []


def on_scaling(listener: Listener) -> None:
    """Call a bound method around every scaled step until `forget_scaling`; nothing where torch has no such method."""
    _listeners.append(WeakMethod(listener))
    inner = getattr(GradScaler, _INNER, None)
    if not _original and inner is not None:
        _original.append(inner)
        setattr(GradScaler, _INNER, _observed)


def forget_scaling(listener: Listener | None) -> None:
    """Stop calling `listener`, and those that are gone; then torch's own method comes back, unless wrapped again."""
    _listeners[:] = [weak for weak in _listeners if weak() not in (None, listener)]
    if not _listeners and _original and getattr(GradScaler, _INNER, None) is _observed:
        setattr(GradScaler, _INNER, _original.pop())


def _observed(scaler: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
    _tell(optimizer, scaler._scale, False)
    result = _original[0](scaler, optimizer, *args, **kwargs)
    _tell(optimizer, scaler._scale, True)
    return result


def _tell(optimizer: Optimizer, scale: Tensor, over: bool) -> None:
    for listener in [weak() for weak in _listeners]:
        if listener is not None:
            listener(optimizer, scale, over)
