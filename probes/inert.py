"""A base for hooks that stay behind when their model is copied or pickled.

A watched model must pickle, deepcopy and `torch.save` as if it were not watched: its copies (an EMA, a checkpoint)
carry a hook that does nothing and needs nothing of depthscope to load.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

__all__ = ["Inert"]

# Takes any positional arguments and returns None; a bound method of a standard library object pickles by itself.
_nothing: Callable[..., None] = nullcontext().__exit__


class Inert:
    """Pickles and deep-copies to a callable that does nothing."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return _nothing

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")
