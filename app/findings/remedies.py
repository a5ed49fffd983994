"""Strategies that were proposed against a fault, with their papers; a run is never advised to try its own."""

from .strategy_mismatch import known_placement

__all__ = ["remedies"]

PROPOSED = {
    "peri": "Peri-LN (peri, arXiv 2502.02732)",
    "lns": "LayerNorm Scaling (lns, arXiv 2502.05795)",
    "mix": "Mix-LN (mix, arXiv 2412.13795)",
}


def remedies(strategy: str | None) -> str:
    """'Peri-LN (peri, arXiv ...), ... and Mix-LN (mix, arXiv ...)', without the run's own strategy."""
    own = known_placement(strategy or "")
    *first, last = (words for name, words in PROPOSED.items() if name != own)
    return f"{', '.join(first)} and {last}"
