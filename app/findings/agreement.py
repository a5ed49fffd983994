"""How sure a diagnosis is: whether the newest sampled steps say the same."""

from collections.abc import Sequence

from .finding import Confidence

__all__ = ["agreement"]


def agreement(verdicts: Sequence[object]) -> Confidence:
    """Of the verdicts on the newest sampled steps, oldest first: how many agree with the last one.

    'high' when at least three steps all agree, 'medium' when most do, else 'low'. One step alone is 'low'.
    """
    agreeing = sum(verdict == verdicts[-1] for verdict in verdicts)
    if agreeing == len(verdicts) >= 3:
        return "high"
    return "medium" if 2 * agreeing > len(verdicts) > 1 else "low"
