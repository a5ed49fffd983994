"""What the figures of pruned weights share: the newest curves of each run, and the words for how they were pruned."""

from collections.abc import Iterable, Mapping

import pandas as pd

from depthscope.store import Store

from ..text import short
from ..view import View
from .held_out import named, newest

__all__ = ["CURVE", "curve_key", "curve_words", "curves_query", "ordered_curves", "ranking_words"]

CURVE = ["weights", "pattern", "scope", "ranking"]
"""What tells two curves of a run apart."""

RANKINGS = {"magnitude": "magnitude", "magnitude_rms": "magnitude over RMS", "wanda": "Wanda", "random": "random"}
SCOPES = {"matrix": "in each matrix", "global": "in all matrices together"}


def curves_query(store: Store, view: View) -> pd.DataFrame:
    """Rows of `Store.sparsity` of each run's newest evaluation up to the view's step, with `strategy`.

    The control (weights 'init') counts at its own newest step: it is measured where the run began.
    """
    return named(store, newest(store.sparsity(runs=list(view.runs), steps=(0, view.step)), *CURVE))


def ranking_words(name: object) -> str:
    """What people call a ranking of weights."""
    return RANKINGS.get(str(name), short(name))


def curve_key(scope: object, ranking: object) -> str:
    """How a view names a way of pruning: 'matrix:magnitude'."""
    return f"{scope}:{ranking}"


def curve_words(key: str) -> str:
    """'magnitude, in each matrix' of 'matrix:magnitude'."""
    scope, _, ranking = key.partition(":")
    return f"{ranking_words(ranking)}, {SCOPES.get(scope, short(scope))}"


def ordered_curves(keys: Iterable[str]) -> list[str]:
    """Ways of pruning in the order of RANKINGS and SCOPES, unknown ones last, by name."""

    def rank(key: str) -> tuple[int, int, str]:
        scope, _, ranking = key.partition(":")
        return _place(RANKINGS, ranking), _place(SCOPES, scope), key

    return sorted(set(keys), key=rank)


def _place(known: Mapping[str, str], name: str) -> int:
    return list(known).index(name) if name in known else len(known)
