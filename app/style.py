"""The little CSS that Streamlit's theme does not reach: our own words and colours only, never a name from a store."""

from collections.abc import Sequence

__all__ = ["CONTROLS", "ICON", "LOGO", "PAGE_STYLE", "PAIR", "THEME", "chip_style"]

THEME = {
    "theme.light.primaryColor": "#00598c",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f2f4f8",
    "theme.light.textColor": "#11151f",
    "theme.dark.primaryColor": "#56B4E9",
    "theme.dark.backgroundColor": "#0e1117",
    "theme.dark.secondaryBackgroundColor": "#1b202b",
    "theme.dark.textColor": "#e8eaf0",
}
"""Streamlit's settings, the same grounds as the figures have. Its own red accent would read as an alarm."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0072B2"/>'
    '<path d="M3 12.5 6 9.5 9 8 13 3.5" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>'
)
"""The browser tab's picture, drawn here: Streamlit fetches its own icons for it from the network."""

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 132 24" height="24">'
    '<g transform="translate(1 3.5) scale(1.06)">' + ICON[ICON.index("<rect") : ICON.index("</svg>")] + "</g>"
    '<text x="26" y="17.5" font-family="sans-serif" font-size="16.5" font-weight="600" fill="#7d8494">depthscope</text>'
    "</svg>"
)
"""A grey that reads on either ground: an image does not follow the theme."""

PAIR, CONTROLS = "pair", "controls"
"""Keys of rows of columns: of two charts, and of what is chosen. What is too narrow for its place takes the next line.
"""

PAGE_STYLE = """<style>
.stMainBlockContainer { padding: 3.6rem 3rem 3rem; }
.stMainBlockContainer h2 { padding: 0 0 0.5rem; font-size: 1.75rem; }
.stMainBlockContainer h3 { padding: 0.75rem 0 0.25rem; font-size: 1.2rem; }
[data-testid="stSidebarHeader"] { height: 2.5rem; min-height: 2.5rem; margin-bottom: 0; }
[data-testid="stSidebarUserContent"] { padding-top: 0.25rem; }
@media (max-width: 1180px) {
  .stMainBlockContainer { padding: 3.6rem 1.25rem 2rem; }
  [data-testid="stSidebar"][aria-expanded="true"] { width: 236px !important; min-width: 236px !important; }
}
.st-key-pair .stColumn { min-width: min(26rem, 100%); }
.st-key-controls .stColumn { min-width: min(10rem, 100%); }
.st-key-controls .stColumn:has(.stColumn) { min-width: min(25rem, 100%); }
[data-testid="stSidebar"] [data-testid="stMultiSelect"] [role="group"] { max-height: none; }
[data-testid="stMultiSelect"] [data-tag] {
  background: rgba(127, 132, 148, 0.16); color: inherit; border-left: 4px solid transparent; max-width: 100%;
}
</style>"""


def chip_style(key: str, colours: Sequence[str]) -> str:
    """The n-th choice of the sidebar's widget `key` carries the n-th colour: such a list is a key to the charts."""
    place = f".st-key-{key.replace('.', '-')}"
    rules = (
        f'[data-testid="stSidebar"] {place} [data-tag-index="{n}"] {{ border-left-color: {colour} !important; }}'
        for n, colour in enumerate(colours)
    )
    return f"<style>{' '.join(rules)}</style>"
