"""Names that users chose, made safe to show: Plotly reads pseudo-HTML, Streamlit reads Markdown, LaTeX and emoji codes.

Control and direction-changing characters are replaced everywhere, because they can make one name look like another.
"""

import html
import re
import unicodedata
from collections.abc import Iterable

__all__ = [
    "PHASES",
    "SITES",
    "file_name",
    "labels",
    "markdown",
    "phase_words",
    "plain",
    "plotly",
    "quantity",
    "short",
    "site_words",
]

SITES = {
    "resid_post": "block output",
    "block": "whole block",
    "resid_mid": "stream after attention",
    "resid_sum": "stream before its norm",
    "attn_out": "attention branch",
    "mlp_out": "MLP branch",
    "attn_raw": "attention before its output norm",
    "mlp_raw": "MLP before its output norm",
    "attn": "attention",
    "mlp": "MLP",
    "embed": "embedding",
    "final_norm": "final norm",
    "head": "head",
    "norm": "norms over the batch",
}
PHASES = {"train": "training batches", "probe": "the held-out probe batch"}

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: object) -> str:
    """`text` on one line, with every control, format or surrogate character (categories Cc, Cf, Cs) shown as U+FFFD."""
    return "".join("�" if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c for c in str(text))


def short(text: object, limit: int = 36) -> str:
    """`text` in at most `limit` characters: names differ at both ends, so the middle goes."""
    name = plain(text)
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}…{name[-tail:]}"


def plotly(text: object, limit: int = 36) -> str:
    """`text` for any Plotly text field, whole characters only, tags inert."""
    return html.escape(short(text, limit), quote=False)


def labels(names: Iterable[str], limit: int = 36) -> dict[str, str]:
    """A short label for each name, no two alike: Streamlit tells options apart by what it shows."""
    shown: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        label, nth = short(name, limit), 1
        while label in taken:
            nth += 1
            label = f"{short(name, limit)} ({nth})"
        taken.add(label)
        shown[name] = label
    return shown


def markdown(text: object, limit: int = 200) -> str:
    """`text` for Streamlit's Markdown: every ASCII punctuation mark escaped, so that no syntax is left."""
    return _PUNCTUATION.sub(r"\\\1", short(text, limit))


def quantity(title: str, unit: str | None) -> str:
    """An axis title: 'Loss (nats/token)', or the title alone where the quantity has no unit."""
    unit = (unit or "").strip()
    return title if unit in {"", "1", "-", "none"} else f"{title} ({unit})"


def site_words(site: str) -> str:
    """What people call a site; a site we do not know keeps its name."""
    return SITES.get(site, site)


def phase_words(phase: str) -> str:
    """Which batch a row was measured on, in words."""
    return PHASES.get(phase, phase)


def file_name(text: str, ending: str) -> str:
    """A file name from our own words: lower case, digits and hyphens. Never pass a name that a user chose."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") + ending
