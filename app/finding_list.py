"""What went wrong, in sentences, worst first; every sentence leads to what it rests on."""

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
import streamlit as st

from .evidence import evidence_view
from .scene import Scene
from .text import markdown, plain
from .view import to_params

__all__ = ["BADGES", "finding_list"]

Colour = Literal["red", "orange", "blue", "green"]

BADGES: Mapping[str, tuple[str, str, Colour]] = {
    "critical": ("Critical", ":material/error:", "red"),
    "warning": ("Warning", ":material/warning:", "orange"),
    "info": ("Note", ":material/info:", "blue"),
    "ok": ("OK", ":material/check_circle:", "green"),
}
"""Severity -> word, icon and colour: never the colour alone."""

FIRST = 6
"""Findings in sight before the drawer with the others: the loss must not leave the screen."""


def finding_list(scene: Scene, findings: pd.DataFrame) -> None:
    """The worst findings, then closed drawers: the other troubles, and what was looked at and found in order."""
    if findings.empty:
        st.caption("No finding yet: the diagnoses need a few sampled steps.")
        return
    troubles = findings[findings["severity"] != "ok"]
    passed = findings[findings["severity"] == "ok"]
    st.caption(_told(findings))
    _rows(scene, troubles.head(FIRST))
    if len(troubles) > FIRST:
        count = len(troubles) - FIRST
        drawer = st.expander(f"{count} more {'finding' if count == 1 else 'findings'}", key="more", on_change="rerun")
        if drawer.open:
            with drawer:
                _rows(scene, troubles.iloc[FIRST:])
    if len(passed):
        count = len(passed)
        words = f"{count} {'check' if count == 1 else 'checks'} in order"
        drawer = st.expander(words, key="passed", on_change="rerun", icon=":material/check_circle:")
        if drawer.open:
            with drawer:
                _table(passed)


def _rows(scene: Scene, findings: pd.DataFrame) -> None:
    with st.container(gap="xsmall"):
        for finding in findings.itertuples():
            _row(scene, finding)


def _table(findings: pd.DataFrame) -> None:
    shown = {"Run": findings["run"], "Check": findings["title"], "What was found": findings["sentence"]}
    frame = pd.DataFrame({name: [plain(text) for text in column] for name, column in shown.items()})
    width = {"What was found": st.column_config.TextColumn(width="large")}
    st.dataframe(frame, hide_index=True, height=280, column_config=width, alt="Checks that found nothing wrong")


def _told(findings: pd.DataFrame) -> str:
    """'1 critical, 3 warnings in 5 runs.'"""
    counts = findings["severity"].value_counts()
    words = {"critical": ("critical", "critical"), "warning": ("warning", "warnings"), "info": ("note", "notes")}
    parts = [f"{counts[name]} {pair[int(counts[name] != 1)]}" for name, pair in words.items() if name in counts]
    runs = findings["run"].nunique()
    told = ", ".join(parts) or "Nothing wrong found"
    return f"{told} in {runs} {'run' if runs == 1 else 'runs'}."


def _row(scene: Scene, finding: Any) -> None:
    sentence, link = st.columns([6, 1.2], gap="small", vertical_alignment="top")
    word, icon, colour = BADGES[finding.severity]
    with sentence:
        badge = f":{colour}-badge[{icon} {word}]"
        st.markdown(f"{badge} {markdown(finding.run, 40)} · {markdown(finding.sentence, 600)}")
    with link:
        page, view = evidence_view(finding, scene.view)
        if page in scene.addresses:
            st.page_link(
                scene.addresses[page],
                label="Evidence",
                icon=":material/arrow_forward:",
                icon_position="right",
                help=_why(finding),
                query_params=to_params(view),
            )


def _why(finding: Any) -> str:
    """What the link's tooltip says: the diagnosis, what to do, the rule and where it comes from."""
    parts = [f"**{markdown(finding.title)}**", markdown(finding.advice, 600)]
    parts += [f"Rule: {markdown(finding.rule, 600)}", f"Source: {markdown(finding.source, 300)}"]
    return "\n\n".join(parts)
