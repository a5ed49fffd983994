"""The view in the URL, so that a link, a reload and the Back button show what was on screen.

Streamlit's own binding of widgets to the query loses values on a change of page, so this keeps them by hand: `pull`
before the first widget, `push` after the last. The address is the truth: what it leaves out is at its default.
"""

import streamlit as st

from .view import View, from_params, to_params

__all__ = ["WIDGET", "pull", "push"]

WIDGET = "view."
"""Prefix of the session keys of widgets that show a field of the view."""


def pull(page: str) -> View:
    """The view to show on `page`: that of the URL, unless the reader came to another page by an address without one."""
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    moved = page != st.session_state.get("_page", page)
    known = "_view" in st.session_state and (asked == st.session_state["_written"] or (moved and not asked))
    if not known:
        for key in [key for key in st.session_state if str(key).startswith(WIDGET)]:
            del st.session_state[key]
        st.session_state["_view"] = from_params(asked)
        st.session_state["_written"] = asked
    st.session_state["_page"] = page
    view: View = st.session_state["_view"]
    return view


def push(view: View) -> None:
    """Remember the view and write what differs from the defaults into the URL."""
    params = to_params(view)
    st.session_state["_view"] = view
    st.session_state["_written"] = params
    if {name: st.query_params.get_all(name) for name in st.query_params} != params:
        st.query_params.from_dict(params)
