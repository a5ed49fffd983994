"""One call of a block, and what is kept of it so that it need not run again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from depthscope.store import DepthscopeError

from ..tensors import first_stream, with_stream
from .program import LayerKey

__all__ = ["BlockCall", "Kept", "stream_in", "with_output"]


def stream_in(value: Any) -> Tensor:
    """The residual stream in what a block is given or returns. Raises DepthscopeError where there is none."""
    found = first_stream(value)
    if found is None:
        raise DepthscopeError(f"expected a block to carry a stream [B, T, D], got {type(value).__name__}")
    return found


def with_output(output: Any, stream: Tensor) -> Any:
    """A block's output with another stream in it. Raises DepthscopeError for a container that is not known."""
    if isinstance(output, Tensor):
        return stream
    replaced = with_stream(output, stream)
    if replaced is None:
        raise DepthscopeError(f"expected a block that returns a tensor or a tuple, got {type(output).__name__}")
    return replaced


@dataclass(frozen=True)
class BlockCall:
    """The call of one layer: `forward(*args, **kwargs)` runs its block, `stream` is the stream it was given.

    `real_BT` says which tokens are real, None for all.
    """

    layer: LayerKey
    forward: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    stream: Tensor
    real_BT: Tensor | None = None

    def __call__(self, stream: Tensor | None = None) -> Any:
        """The block's output, on another stream where one is given."""
        if stream is None:
            return self.forward(*self.args, **self.kwargs)
        given = with_stream((self.args, self.kwargs), stream)
        if given is None:
            raise DepthscopeError("expected a block that is given its stream as an argument of its own")
        args, kwargs = given
        return self.forward(*args, **kwargs)


@dataclass(frozen=True)
class Kept:
    """What a block was given and returned, as copies: models add in place."""

    stream: Tensor
    output: Any

    @property
    def keeps_shape(self) -> bool:
        """Whether its input can stand for its output."""
        return self.stream.shape == stream_in(self.output).shape

    def again(self) -> Any:
        """The output once more."""
        return with_output(self.output, stream_in(self.output).clone())

    def passed_on(self, stream: Tensor) -> Any:
        """The output of a block that adds nothing to `stream`."""
        return with_output(self.output, stream.clone())
