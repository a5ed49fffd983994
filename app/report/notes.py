"""Notes that a user wrote in Markdown, as HTML with nothing in it that runs or loads."""

from markdown_it import MarkdownIt
from markupsafe import Markup

__all__ = ["notes_html"]

# The report has h1 and h2 of its own.
DEEPER = 2


def notes_html(text: str) -> Markup:
    """CommonMark with tables. Raw HTML is shown as text; an image, which would be fetched, becomes a link; addresses
    that run something stay text (markdown-it refuses javascript:, vbscript:, data: and file:)."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + DEEPER, 6)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))
