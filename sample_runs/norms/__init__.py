"""The norm strategies the reference decoder can be built with: one small file each, one line each in the table."""

from depthscope.store import DepthscopeError

from .deepnorm import DEEPNORM
from .dyt import DYT
from .gpas import GPAS
from .hybrid import HYBRID, HYBRID_STAR
from .keel import KEEL
from .lns import LNS, LNS_LEARNABLE
from .mix import MIX
from .olmo2 import OLMO2
from .peri import PERI, PERI_EMBED, SANDWICH
from .post import POST
from .power import POWER
from .pre import PRE
from .prepbn import PREPBN
from .prerms import PRE_CRMS, PRE_RMS
from .prescaled import PRE_SCALED
from .prores import PRORES
from .qk import QK
from .siamese import SIAMESE
from .strategy import Block, Join, MakeNorm, Place, Strategy, rescale

__all__ = ["STRATEGIES", "Block", "Join", "MakeNorm", "Place", "Strategy", "find_strategy", "rescale"]

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        PRE,
        POST,
        PERI,
        PERI_EMBED,
        SANDWICH,
        MIX,
        LNS,
        LNS_LEARNABLE,
        PRE_SCALED,
        QK,
        OLMO2,
        DEEPNORM,
        KEEL,
        HYBRID,
        HYBRID_STAR,
        GPAS,
        SIAMESE,
        PRORES,
        DYT,
        PRE_RMS,
        PRE_CRMS,
        POWER,
        PREPBN,
    )
}


def find_strategy(name: str) -> Strategy:
    """The strategy of this name; DepthscopeError names the valid ones."""
    if name not in STRATEGIES:
        raise DepthscopeError(f"expected a strategy out of {', '.join(STRATEGIES)}, but got {name!r}")
    return STRATEGIES[name]
