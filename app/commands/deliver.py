"""`depthscope ingest`: the spool of a store into its own database, or to a target where many stores come together."""

from pathlib import Path

import typer

from depthscope.store import DepthscopeError, deliver, follow, ingest, target_url

from ..text import plain

__all__ = ["delivered"]


def delivered(store: Path, to: str | None, data: str | None, *, again: bool) -> str:
    """Deliver once, or again and again until interrupted; what to say in the end."""
    if to is None:
        return _folded(store, data, again=again)
    if data is not None and target_url(to) is None:
        raise DepthscopeError(f"expected --data with a lake (ducklake:...); {plain(to)!r} is a folder")
    if again:
        follow(store, to, data, lambda said: typer.echo(plain(said), err=True))
    done = deliver(store, to, data)
    before = f"{done.adopted:,} rows of the store's own database and " if done.adopted else ""
    return f"Delivered {before}{done.folded} segments to {plain(to)}."


def _folded(store: Path, data: str | None, *, again: bool) -> str:
    if again or data is not None:
        raise DepthscopeError("expected --to URL with --follow and --data; without it the store's own database is used")
    done = ingest(store)
    return plain(done.skipped) if done.skipped else f"Folded {done.folded} segments into {store}."
