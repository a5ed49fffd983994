"""What a resumed run goes on from: the tokens it had seen."""

from pathlib import Path

from depthscope.store import DepthscopeError, open_store

__all__ = ["tokens_before"]


def tokens_before(store: str | Path | None, run: str, step: int) -> int:
    """Tokens that `run` had seen when step `step` opened; 0 where the store does not say, or cannot be read now."""
    if step == 0:
        return 0
    try:
        rows = open_store(store).steps(runs=[run], columns=["tokens"], steps=(step - 1, step - 1))
    except DepthscopeError:
        return 0
    return int(rows.tokens.max()) if rows.tokens.notna().any() else 0
