"""What every page is given: the store, the view, the runs, and frames fetched once per content of the store."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page as Address

from depthscope.store import Store, StoreBusy, metric_sites, sampled_steps

from .diagnosis import findings_frame
from .figures import FIGURES, TABLES, AnyFigure, AnyTable, Drawn, Figure, Table
from .figures.held_out import evaluated_steps
from .live_table import pace_query
from .persistence import places_query
from .sparklines import sparklines, sparklines_query
from .theme import Theme
from .view import View

__all__ = ["Scene", "revision"]

R = TypeVar("R", bound=Drawn)
KEPT = 64
"""Frames a session remembers for the moments when the database is busy."""


@dataclass(frozen=True)
class Scene:
    """One run of the script."""

    store: Store
    view: View
    runs: pd.DataFrame
    """The rows of `run_table`, all runs of the store."""
    theme: Theme
    addresses: Mapping[str, Address] = field(default_factory=dict)
    """Page name -> where a link to it leads."""
    busy: list[str] = field(default_factory=list)
    """What the store said where it was busy and a frame we had is shown instead."""

    @property
    def shown(self) -> pd.DataFrame:
        """The rows of the runs on screen, in the view's order."""
        rows = self.runs.set_index("run", drop=False)
        return rows.loc[[run for run in self.view.runs if run in rows.index]]

    def record(self, figure: Figure[R] | Table[R], view: View) -> R:
        """The record of a figure or table for a view."""
        return figure.info(self.frame(figure, view), view)

    def frame(self, figure: Figure[R] | Table[R], view: View) -> pd.DataFrame:
        """The frame that a figure or table is made from."""
        return self._frame(figure.name, view.keep(figure.reads))

    def sites(self) -> pd.DataFrame:
        """What was measured of the runs on screen: `metric_sites`."""
        return self._frame("metric_sites", self.view.keep(["runs"]))

    def steps(self, phase: str, runs: tuple[str, ...]) -> tuple[int, ...]:
        """Steps at which any of `runs` was sampled, ascending."""
        frame = self._frame("sampled_steps", View(runs=runs, phase=phase))
        return tuple(sorted({int(step) for step in frame["step"]}))

    def evaluated(self, table: str) -> tuple[int, ...]:
        """Steps at which any run on screen has rows of `table`, one of `evaluated_steps`, ascending."""
        frame = self._frame("evaluated_steps", self.view.keep(["runs"]))
        return tuple(sorted({int(step) for step in frame.loc[frame["table"] == table, "step"]}))

    def metrics(self) -> pd.DataFrame:
        """What the metrics mean: the table `metrics`."""
        return self._frame("metrics", self.view.keep(["runs"]))

    def findings(self) -> pd.DataFrame:
        """What the diagnoses say of the runs on screen, worst first: `findings_frame`."""
        return self._frame("findings", self.view.keep(["runs"]))

    def losses(self) -> Mapping[str, Sequence[float]]:
        """A small loss curve of every run of the store."""
        return sparklines(self._frame("sparklines", View(), every=True))

    def places(self, view: View) -> pd.DataFrame:
        """Channels and tokens of the largest activations of the focus run: `places_query`."""
        return self._frame("places", view.keep(["runs", "run", "stack", "phase"]))

    def pace(self) -> pd.DataFrame:
        """How fast the runs on screen go: `pace_query`."""
        return self._frame("pace", self.view.keep(["runs"]))

    def _frame(self, name: str, view: View, every: bool = False) -> pd.DataFrame:
        """A frame of the present content of the view's runs, or of `every` run; while the database is busy the last
        one. Raises StoreBusy without one."""
        try:
            content = revision(self.runs, None if every else view.runs)
            frame = _fetch(self.store, str(self.store.path), name, view, content)
        except StoreBusy as busy:
            last = _last().get((name, view))
            if last is None:
                raise
            self.busy.append(str(busy))
            return last
        _last()[name, view] = frame
        while len(_last()) > KEPT:
            _last().popitem(last=False)
        return frame


def _last() -> OrderedDict[tuple[str, View], pd.DataFrame]:
    frames: OrderedDict[tuple[str, View], pd.DataFrame] = st.session_state.setdefault("_frames", OrderedDict())
    return frames


def revision(runs: pd.DataFrame, shown: Iterable[str] | None = None) -> str:
    """A short text that changes when the content of the runs `shown` (None: all) does: steps and states."""
    wanted = None if shown is None else set(shown)
    states = zip(runs["run"], runs["status"], runs["last_step"].astype("Int64"), strict=True)
    content = "\n".join(repr(state) for state in states if wanted is None or state[0] in wanted)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@st.cache_data(max_entries=512, show_spinner=False)
def _fetch(_store: Store, path: str, name: str, view: View, revision_of_content: str) -> pd.DataFrame:
    """One query. Never cached on a frame: Streamlit hashes a sample of large ones. `_store` is that at `path`."""
    return QUERIES[name](_store, view)


DRAWN: tuple[AnyFigure | AnyTable, ...] = (*FIGURES.values(), *TABLES.values())
QUERIES: Mapping[str, Callable[[Store, View], pd.DataFrame]] = {
    **{drawn.name: drawn.query for drawn in DRAWN},
    "metric_sites": lambda store, view: metric_sites(store, view.runs),
    "sampled_steps": lambda store, view: sampled_steps(store, view.runs, view.phase),
    "metrics": lambda store, view: store.metrics(),
    "findings": lambda store, view: findings_frame(store, view.runs),
    "places": places_query,
    "sparklines": sparklines_query,
    "evaluated_steps": evaluated_steps,
    "pace": pace_query,
}
