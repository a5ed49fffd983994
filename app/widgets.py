"""Widgets that show a field of the view: seeded from it, and what the reader picks wins.

A value that is no longer on offer (a run that was removed, a link from another store) is dropped, never an error.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from .url import WIDGET

__all__ = ["choice", "pick", "remember", "slide"]

T = TypeVar("T", bound=Hashable)


def remember(field: str, value: object, allowed: Callable[[Any], bool]) -> tuple[str, Any]:
    """The session key of the widget for `field`, and what it holds: what was picked before, else `value`.

    The widget takes that as its default too. A browser that has not drawn a widget yet when the reader moves on answers
    with the default, and a metric that nobody picked would be on screen.
    """
    key = WIDGET + field
    if key not in st.session_state or not allowed(st.session_state[key]):
        st.session_state[key] = value
    return key, st.session_state[key]


def choice(field: str, label: str, options: Mapping[str, str], value: str, help: str | None = None) -> str:
    """A few words in a row, exactly one of them chosen. The labels are ours: they are read as Markdown."""
    key, now = remember(field, value, options.__contains__)
    chosen = st.segmented_control(
        label,
        list(options),
        default=now,
        key=key,
        format_func=options.__getitem__,
        required=True,
        width="stretch",
        help=help,
    )
    return str(chosen)


def pick(field: str, label: str, options: Mapping[T, str], value: T, help: str | None = None) -> T:
    """A drop-down; `options` maps values to labels, no two alike. The first option stands in for a bad value."""
    values = list(options)
    first = values[0]
    key, now = remember(field, value if value in options else first, options.__contains__)
    chosen = st.selectbox(label, values, values.index(now), key=key, format_func=options.__getitem__, help=help)
    return first if chosen is None else chosen


def slide(field: str, label: str, options: Sequence[int], value: int | None, newest: str) -> int | None:
    """A slider over `options` (ascending) whose right end is None: the newest there is, also when there is newer."""
    earlier: list[int | None] = list(options[:-1])
    stops = [*earlier, None]
    near = None if value is None else max((s for s in earlier if s is not None and s <= value), default=stops[0])
    near = None if value is not None and len(options) and value >= options[-1] else near
    key, now = remember(field, near, lambda stop: stop is None or stop in stops)
    if len(stops) < 2:
        st.caption(f"{label}: {newest}")
        return None
    chosen: int | None = st.select_slider(
        label, stops, now, key=key, format_func=lambda stop: newest if stop is None else f"{stop:,}"
    )
    return chosen
