"""Small multiples: the same runs in several panels, one quantity each, under one legend."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..text import plotly as safe
from ..theme import Theme, run_styles
from .axes import joined, layer_axis
from .blank import blank_figure
from .lines import Lines, add_lines, add_nonfinite, lines_axis, lines_table

__all__ = ["Panels", "panels_alt", "panels_figure", "panels_table"]


@dataclass(frozen=True)
class Panels:
    """The panels that have something to show, left to right."""

    panels: tuple[Lines, ...] = ()
    about: str = ""
    """What was measured, as sentences."""

    @property
    def note(self) -> str:
        """What a careful reader must know, with the panels it holds for."""
        told: dict[str, list[str]] = {}
        for panel in self.panels:
            told.setdefault(panel.outside, []).append(panel.y_title.partition(" (")[0])
        return joined(self.about, *(f"{'; '.join(titles)}: {words}" for words, titles in told.items() if words))

    @property
    def empty(self) -> bool:
        """No panel has a line."""
        return not self.panels


def panels_figure(info: Panels, theme: Theme, nothing: str) -> go.Figure:
    """A row of panels; a run has one legend entry that switches it everywhere."""
    if info.empty:
        return blank_figure(nothing, theme)
    figure = make_subplots(rows=1, cols=len(info.panels), horizontal_spacing=0.1)
    styles = run_styles(_runs(info))
    named: set[str] = set()
    marked = False
    for number, panel in enumerate(info.panels, start=1):
        old = [line for line in panel.lines if line.label in named]
        new = [line for line in panel.lines if line.label not in named]
        add_lines(figure, new, styles, markers=True, axis=number)
        add_lines(figure, old, styles, markers=True, axis=number, legend=False)
        named |= {line.label for line in new}
        add_nonfinite(figure, panel.lines, legend=not marked, axis=number)
        marked = marked or any(line.nonfinite for line in panel.lines)
        figure.update_yaxes(
            title_text=safe(panel.y_title, 80),
            **lines_axis(panel),
            col=number,
        )
        figure.update_xaxes(
            title_text=safe(panel.x_title),
            **layer_axis(max(line.x[-1] for line in panel.lines)),
            unifiedhovertitle={"text": "layer %{x}"},
            col=number,
        )
    figure.update_layout(template=theme.template, height=380, hovermode="x unified")
    return figure


def _runs(info: Panels) -> list[tuple[str, str]]:
    return list(dict.fromkeys((line.label, line.strategy) for panel in info.panels for line in panel.lines))


def panels_table(info: Panels) -> pd.DataFrame:
    """Run, strategy, layer and one column a panel."""
    merged: pd.DataFrame | None = None
    for panel in info.panels:
        frame = lines_table(panel, "run")
        merged = frame if merged is None else merged.merge(frame, how="outer", on=list(frame.columns[:3]), sort=False)
    return pd.DataFrame(columns=["run", "strategy", "Layer"]) if merged is None else merged


def panels_alt(info: Panels, what: str) -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return f"{what}: nothing to show yet."
    return f"{what}, {len(_runs(info))} runs: {'; '.join(panel.y_title for panel in info.panels)}, each against depth."
