"""A store that stands still: what a report says at its top and at its end must be of the same moment."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from depthscope.store import Store, export_runs, import_bundle, open_store, run_table

__all__ = ["snapshot"]

GROWING = ("running", "stalled")


@contextmanager
def snapshot(store: Store, runs: Sequence[str]) -> Iterator[Store]:
    """`store` itself while none of `runs` is being written to, else a copy of them, taken in one look, for the time
    inside. Raises RunMissing for an unknown name."""
    table = run_table(store)
    if not table.loc[table["run"].isin(list(runs)), "status"].isin(GROWING).any():
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="depthscope-") as place:
        bundle, copy = Path(place) / "bundle", Path(place) / "store"
        export_runs(store, list(runs), bundle)
        import_bundle(bundle, copy)
        yield open_store(copy)
