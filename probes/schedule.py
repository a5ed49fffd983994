"""When to sample: functions from a step to yes or no."""

from collections.abc import Callable

from depthscope.store import DepthscopeError

__all__ = ["Schedule", "schedule"]

Schedule = Callable[[int], bool]


def schedule(every: int | Schedule) -> Schedule:
    """Steps 0, 1, 2, 4, 8, ... below n, then every n; or the user's own function of the step.

    The early steps are dense because that is where initialisation shows. Raises DepthscopeError unless n is at least 1.
    """
    if callable(every):
        return every
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise DepthscopeError(
            f"expected every to be a whole number of at least 1 or a function of the step, got {every!r}"
        )

    def sampled(step: int) -> bool:
        return step % every == 0 or (step < every and step & (step - 1) == 0)

    return sampled
