"""One look for every figure, in the dashboard and in the report, on light and on dark ground.

A strategy has one colour and one marker everywhere: the Okabe-Ito colours (Okabe & Ito 2008, safe for colour-blind
readers) for the best known strategies, shades of their hues for their kin, a stable pick from Tol's muted set (Tol
2021) for what we do not know. Runs of one strategy share its colour and differ by dash, so that seeds read as a family.
Two dozen colours cannot be told apart at once: see `figures/crowd.py` for what is in colour then.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import plotly.graph_objects as go

__all__ = [
    "DARK",
    "DASHES",
    "LIGHT",
    "NONFINITE",
    "THEMES",
    "Style",
    "Theme",
    "in_order",
    "run_styles",
    "strategy_style",
    "tint",
]

KNOWN = {
    "pre": ("#0072B2", "circle"),
    "post": ("#D55E00", "square"),
    "peri": ("#009E73", "diamond"),
    "mix": ("#CC79A7", "triangle-up"),
    "lns": ("#E69F00", "triangle-down"),
    "deepnorm": ("#56B4E9", "pentagon"),
    "output": ("#9A8700", "hexagram"),  # Okabe-Ito's yellow, darkened until it reads on white
    # Kin of the above in their hue, so that a family is seen as one.
    "pre-rms": ("#3B6FD4", "octagon"),
    "pre-crms": ("#7C8FE0", "hexagon"),
    "pre-scaled": ("#2F8FC4", "circle-cross"),
    "qk": ("#5A58B8", "circle-x"),
    "keel": ("#B0480A", "star-square"),
    "siamese": ("#E07B4C", "cross"),
    "sandwich": ("#4C9A2A", "star-diamond"),
    "peri-embed": ("#25A07E", "diamond-tall"),
    "olmo2": ("#6E9E3C", "diamond-wide"),
    "hybrid": ("#A04FA0", "triangle-ne"),
    "hybrid-star": ("#B069D6", "star"),
    "lns-learnable": ("#C77F14", "triangle-sw"),
    "gpas": ("#B58B00", "triangle-left"),
    "prores": ("#CC8C22", "triangle-right"),
    # Norms of another kind: over the batch, or none at all.
    "power": ("#8C6D5A", "hourglass"),
    "prepbn": ("#B07A6E", "bowtie"),
    "dyt": ("#6B8E8E", "hexagon2"),
    "none": ("#7F7F7F", "x"),
    "unknown": ("#7F7F7F", "x"),
}
OTHERS = ("#AA4499", "#999933", "#CC6677", "#44AA99", "#6699CC", "#997700", "#B2645D", "#7A86B8")
MARKERS = ("cross", "star", "hourglass", "bowtie", "pentagon", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

NONFINITE = "#E4003A"
"""NaN and Inf, wherever they are drawn: a red that no strategy and no colour scale of ours uses."""


@dataclass(frozen=True)
class Style:
    """How a run is drawn."""

    colour: str
    dash: str
    marker: str


def tint(colour: str, alpha: float) -> str:
    """A translucent colour, as CSS and Plotly write it: on either ground the text over it stays readable."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@dataclass(frozen=True)
class Theme:
    """The colours of the ground a figure stands on."""

    name: str
    paper: str
    text: str
    muted: str
    grid: str
    hover: str

    @cached_property
    def template(self) -> go.layout.Template:
        """The Plotly template: quiet grid, no zero line, axis titles next to the numbers, legend above the plot."""
        axis = {
            "gridcolor": self.grid,
            "linecolor": self.muted,
            "tickcolor": self.muted,
            "zeroline": False,
            "showline": True,
            "ticks": "outside",
            "ticklen": 4,
            "title": {"standoff": 8, "font": {"size": 13}},
            "automargin": True,
            "exponentformat": "power",
        }
        return go.layout.Template(
            layout={
                "paper_bgcolor": self.paper,
                "plot_bgcolor": self.paper,
                "font": {
                    "family": "Source Sans, Source Sans Pro, Helvetica, Arial, sans-serif",
                    "size": 13,
                    "color": self.text,
                },
                "colorway": list(OTHERS),
                "xaxis": axis,
                "yaxis": axis,
                "legend": {
                    "orientation": "h",
                    "x": 0,
                    "xanchor": "left",
                    "y": 1.02,
                    "yanchor": "bottom",
                    "title": {"text": ""},
                },
                "hoverlabel": {
                    "bgcolor": self.hover,
                    "bordercolor": self.muted,
                    "font": {"color": self.text, "size": 12},
                },
                "margin": {"l": 8, "r": 24, "t": 34, "b": 8},
                "height": 420,
            }
        )


LIGHT = Theme("light", paper="#ffffff", text="#1f2430", muted="#8a8f9c", grid="#e8eaf0", hover="#ffffff")
DARK = Theme("dark", paper="#0e1117", text="#e8eaf0", muted="#7d8494", grid="#262b36", hover="#1b202b")
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def strategy_style(strategy: object) -> Style:
    """Colour and marker of a strategy, the same on every machine and in every figure; None and NaN are 'unknown'."""
    name = strategy if isinstance(strategy, str) and strategy else "unknown"
    if name in KNOWN:
        colour, marker = KNOWN[name]
    else:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        colour, marker = OTHERS[digest[0] % len(OTHERS)], MARKERS[digest[1] % len(MARKERS)]
    return Style(colour, "solid", marker)


def in_order(runs: Iterable[tuple[str, str]]) -> list[str]:
    """Runs in the order of the legends: known strategies as listed above, then the others by name, seeds together."""
    rank = {name: nth for nth, name in enumerate(KNOWN)}
    return [run for run, strategy in sorted(runs, key=lambda pair: (rank.get(pair[1], len(rank)), pair[1], pair[0]))]


def run_styles(runs: Sequence[tuple[str, str]]) -> dict[str, Style]:
    """Style of each (run, strategy): the strategy's colour, the n-th run of a colour with the n-th dash."""
    seen: dict[str, int] = {}
    styles: dict[str, Style] = {}
    for run, strategy in runs:
        base = strategy_style(strategy)
        nth = seen.get(base.colour, 0)
        seen[base.colour] = nth + 1
        styles[run] = Style(base.colour, DASHES[nth % len(DASHES)], base.marker)
    return styles
