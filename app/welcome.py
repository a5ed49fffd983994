"""What a dashboard without runs says: how to get some."""

import shlex
from pathlib import Path

import streamlit as st

from .text import markdown, plain

__all__ = ["welcome"]

WATCH = """from depthscope.probes import watch

with watch(model{store}) as probe:
    for batch in loader:  # any PyTorch training loop
        loss = model(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        probe.log(loss=loss)"""


def welcome(path: Path, why: str) -> None:
    """Explain why there is nothing to see and the two ways to change that; the page refreshes by itself."""
    st.header("Nothing to show yet", anchor=False)
    st.markdown(markdown(why, 1000))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("See it work", anchor=False)
        st.markdown("Trains five norm strategies in a few minutes, with this page following along:")
        st.code(f"depthscope demo --store {_quoted(path)}", language="bash", wrap_lines=True)
    with right:
        st.subheader("Watch your own model", anchor=False)
        st.markdown("One line around the loop you have:")
        st.code(WATCH.format(store=f", store={str(path)!r}"), language="python", wrap_lines=True)
    st.caption("This page looks for runs every 2 seconds; there is no need to reload it.")


def _quoted(path: Path) -> str:
    return shlex.quote(plain(path))
