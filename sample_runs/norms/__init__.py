"""The norm strategies the reference decoder can be built with: one small file each, one line each in the table."""

from depthscope.store import DepthscopeError

from .lns import LNS
from .mix import MIX
from .peri import PERI, PERI_EMBED
from .post import POST
from .pre import PRE
from .strategy import Block, Join, Place, Strategy

__all__ = ["STRATEGIES", "Block", "Join", "Place", "Strategy", "find_strategy"]

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        PRE,
        POST,
        PERI,
        PERI_EMBED,
        MIX,
        LNS,
    )
}


def find_strategy(name: str) -> Strategy:
    """The strategy of this name; DepthscopeError names the valid ones."""
    if name not in STRATEGIES:
        raise DepthscopeError(f"expected a strategy out of {', '.join(STRATEGIES)}, but got {name!r}")
    return STRATEGIES[name]
