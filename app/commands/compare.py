"""`depthscope compare`: reads its options; the work is done by the sample runs."""

from depthscope.store import DepthscopeError

__all__ = ["learning_rates"]


def learning_rates(text: str | None) -> tuple[float, ...] | None:
    """The numbers in '0.001,0.002'; None where nothing was given. Raises DepthscopeError for what is no number."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise DepthscopeError(f"expected --lr to be numbers with commas between them, got {text!r}") from None
