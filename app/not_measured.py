"""What a page of held-out measurements shows before there are any: how to get them."""

import streamlit as st

__all__ = ["not_measured"]

LIVE = """\
probe = watch(model, holdout=batches, evaluate_every=500)
"""
BATCHES = "`batches`: a list of held-out batches as the model is called with; 16,000 tokens are usually enough."


def not_measured(question: str, only: str) -> None:
    """Teach the two ways to an answer; `question` and `only`, the part of an evaluation, are our own words."""
    st.info(f"{question} No run on screen was evaluated on held-out data yet.", icon=":material/science:")
    st.markdown("**During training**, every 500 steps:")
    st.code(LIVE, language="python")
    st.caption(BATCHES)
    st.markdown("**Of saved weights**, one checkpoint or a series:")
    st.code(
        f"depthscope evaluate CHECKPOINT... --model module:function --data FILE --run NAME --only {only}",
        language="bash",
    )
