"""The picture of nothing: a sentence in place of axes."""

import plotly.graph_objects as go

from ..theme import Theme

__all__ = ["blank_figure"]


def blank_figure(sentence: str, theme: Theme) -> go.Figure:
    """An empty figure that says why it is empty. `sentence` is our own text, never a user's."""
    figure = go.Figure()
    figure.update_layout(
        template=theme.template,
        height=220,
        xaxis={"visible": False},
        yaxis={"visible": False},
        annotations=[
            {
                "text": sentence,
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0.5,
                "y": 0.5,
                "font": {"size": 15, "color": theme.muted},
            }
        ],
    )
    return figure
