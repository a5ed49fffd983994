"""How the stream's mean square goes with depth at initialization, by each strategy's theory.

Branches that do not know of each other add their mean squares. Where the theory leaves the size of a branch open, it is
taken from the measured updates, as one number for all blocks: the line then says how a stream of independent branches
of that size would grow, and the measured stream differs where updates are correlated. Strategies without a line have no
simple theory.

Sources: Xiong et al. 2020, arXiv 2002.04745 (linear); Peri-LN, arXiv 2502.02732; Curse of Depth, arXiv 2502.05795.
"""

from collections.abc import Callable, Sequence
from math import floor

__all__ = ["theory_line"]

Lines = list[float]
Theory = Callable[[float, Sequence[float]], Lines]
"""(mean square before block 1, what each block's updates add) -> mean square after each block."""


def linear(start: float, added: Sequence[float]) -> Lines:
    step = sum(added) / len(added)
    return [start + step * layer for layer, _ in enumerate(added, start=1)]


def harmonic(start: float, added: Sequence[float]) -> Lines:
    """Block l adds step / l."""
    step = sum(layer * each for layer, each in enumerate(added, start=1)) / len(added)
    return [start + step * sum(1 / k for k in range(1, layer + 1)) for layer, _ in enumerate(added, start=1)]


def two_a_block(start: float, added: Sequence[float]) -> Lines:
    """Each of two branches adds a vector of mean square 1."""
    return [start + 2.0 * layer for layer, _ in enumerate(added, start=1)]


def one(start: float, added: Sequence[float]) -> Lines:
    return [1.0] * len(added)


def identity(start: float, added: Sequence[float]) -> Lines:
    return [start] * len(added)


def mixed(start: float, added: Sequence[float]) -> Lines:
    """1 in the quarter of Post-LN blocks, then linear."""
    post = floor(0.25 * len(added))
    return [1.0] * post + linear(1.0 if post else start, added[post:])


_THEORIES: dict[str, Theory] = {
    **dict.fromkeys(("pre", "pre-scaled", "qk", "gpas", "pre-rms", "pre-crms", "power", "prepbn"), linear),
    **dict.fromkeys(("lns", "lns-learnable"), harmonic),
    **dict.fromkeys(("peri", "peri-embed", "sandwich", "olmo2"), two_a_block),
    **dict.fromkeys(("post", "deepnorm", "keel"), one),
    "mix": mixed,
    "prores": identity,
}


def theory_line(strategy: str, start: float, added: Sequence[float]) -> Sequence[float | None]:
    """The predicted mean square after each block; None where there is no theory."""
    theory = _THEORIES.get(strategy)
    return theory(start, added) if theory else [None] * len(added)
