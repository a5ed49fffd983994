"""The choices that hold on every page: which runs, which batch, what the axes count."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import pandas as pd
import streamlit as st

from .figures.crowd import MOST, bright_strategies
from .style import chip_style
from .text import labels, markdown
from .theme import in_order, strategy_style
from .url import WIDGET
from .view import PHASE_WISHES, SCALES, X_AXES, View
from .widgets import choice, remember

__all__ = ["NEWEST", "live_toggle", "newest_runs", "sidebar"]

NEWEST = 8
"""Runs on screen before anyone has chosen: more lines than that cannot be told apart."""

HEADLINE = "headline"

PHASE_HELP = (
    "auto: comparisons of runs use the held-out probe batch where every run has one, because dropout, data order and "
    "schedule confound training batches; one run over time uses its training batches."
)


def newest_runs(runs: pd.DataFrame, pins: Collection[str] = ()) -> tuple[str, ...]:
    """The runs on screen before anyone has chosen: the pinned and the newest others; `runs` is oldest first.

    Where runs are tagged `headline`, the others are those: a store that is handed on opens with what it is about.
    """
    others = runs[~runs["run"].isin(list(pins))]
    headline = others[[HEADLINE in _tags(tags) for tags in others["tags"]]]
    return _shown(runs, [*pins, *(others if headline.empty else headline)["run"].iloc[-NEWEST:]])


def _tags(tags: object) -> Iterable[object]:
    """What a frame holds of a run's tags; NULL is none."""
    return tags if isinstance(tags, Iterable) else ()


def _shown(runs: pd.DataFrame, chosen: Iterable[str]) -> tuple[str, ...]:
    """The chosen runs in the order in which every legend lists them."""
    rows = runs[runs["run"].isin(list(chosen))]
    return tuple(in_order(zip(rows["run"], rows["strategy"].fillna(""), strict=True)))


def sidebar(view: View, runs: pd.DataFrame) -> View:
    """Draw the sidebar; the view with its choices made and its runs named, in the order of the legends."""
    with st.sidebar:
        chosen = _runs(view, runs)
        bright = _bright(view, runs, chosen)
        x = choice("x", "Horizontal axis", X_AXES, view.x)
        scale = choice("scale", "Value axis", SCALES, view.scale)
        phase = choice("phase", "Measured on", PHASE_WISHES, view.phase, help=PHASE_HELP)
    return replace(view, runs=chosen, bright=bright, x=x, scale=scale, phase=phase)


def _runs(view: View, runs: pd.DataFrame) -> tuple[str, ...]:
    every = [str(run) for run in runs["run"]]
    pins = [run for run in view.pins if run in every]
    names = [run for run in every if run not in pins]
    newest = tuple(run for run in newest_runs(runs, pins) if run not in pins)
    _follow_newest(newest)
    wanted = [run for run in view.runs if run in names] or list(newest)
    key, now = remember("runs", wanted, lambda value: set(value) <= set(names))
    shown = labels(names)
    chosen = st.multiselect("Runs", names, now, key=key, format_func=shown.__getitem__, placeholder="Choose runs")
    strategies = dict(zip(every, runs["strategy"], strict=True))
    st.html(chip_style(key, [strategy_style(strategies[run]).colour for run in chosen]))
    if pins:
        st.caption(f":material/keep: {', '.join(markdown(run, 36) for run in pins)}")
    if len(every) > len(chosen) + len(pins):
        st.caption(f"{len(chosen) + len(pins)} of {len(every):,} runs")
    return _shown(runs, [*pins, *chosen])


def _bright(view: View, runs: pd.DataFrame, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Which strategies are in colour, where there are too many for all of them; the usual ones are ()."""
    strategies = runs.set_index("run")["strategy"].fillna("unknown").replace("", "unknown")
    every = list(dict.fromkeys(strategies[list(chosen)]))
    usual = bright_strategies(every)
    if not usual:
        return view.bright
    wanted = [name for name in view.bright if name in every] or list(usual)
    key, now = remember("bright", wanted, lambda value: set(value) <= set(every))
    shown = labels(every)
    picked = st.multiselect(
        "In colour",
        every,
        now,
        key=key,
        format_func=shown.__getitem__,
        max_selections=MOST,
        placeholder=f"The first {len(usual)}",
        help=f"{len(every)} strategies are on screen. These are drawn in colour, the others in grey behind them.",
    )
    st.html(chip_style(key, [strategy_style(name).colour for name in picked]))
    return () if tuple(picked) == usual else tuple(name for name in every if name in picked)


def _follow_newest(newest: tuple[str, ...]) -> None:
    """Whoever shows the newest runs gets the newer ones as they appear."""
    before = st.session_state.get("_newest")
    if before is not None and before != newest and tuple(st.session_state.get(f"{WIDGET}runs", ())) == before:
        st.session_state[f"{WIDGET}runs"] = list(newest)
    st.session_state["_newest"] = newest


def live_toggle() -> bool:
    """Whether running runs are followed."""
    with st.sidebar:
        return st.toggle("Follow live", value=True, key="live", help="Off: the charts stand still.")
