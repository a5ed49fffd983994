"""Which store and which runs a command is about."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from depthscope.store import DepthscopeError, RunMissing, Store, default_store, open_store, run_table

from ..text import plain

__all__ = ["NoRuns", "chosen_runs", "find_store", "named_store"]


class TwoStores(DepthscopeError):
    """A store was named twice, differently."""


class NoRuns(DepthscopeError):
    """The store has no runs yet."""


def named_store(positional: Path | None, option: Path | None) -> Path | None:
    """The store that the user named: as an argument, an option, or in $DEPTHSCOPE_STORE; None when nowhere."""
    if positional and option and positional != option:
        raise TwoStores(f"expected one store; got {positional} and --store {option}")
    environment = os.environ.get("DEPTHSCOPE_STORE")
    return positional or option or (Path(environment) if environment else None)


def find_store(positional: Path | None, option: Path | None) -> Store:
    """The store that the user named, else the default one, opened. Raises StoreMissing, NotAStore, StoreTooNew."""
    return open_store(named_store(positional, option) or default_store())


def chosen_runs(store: Store, names: Sequence[str] | None) -> list[str]:
    """`names` in their order without repetitions, or every run of the store, oldest first.

    Raises RunMissing for a name that is not there, NoRuns for a store without runs.
    """
    known = [str(run) for run in run_table(store)["run"]]
    if not known:
        raise NoRuns(f"expected runs in {store.path}; it has none yet; train with watch(model) or `depthscope demo`")
    for name in names or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1) or known[-1:]
            raise RunMissing(
                f"expected a run of {store.path}; got {plain(name)!r}; did you mean {plain(close[0])!r}? "
                "(`depthscope runs` lists them)"
            )
    return list(dict.fromkeys(names)) if names else known
